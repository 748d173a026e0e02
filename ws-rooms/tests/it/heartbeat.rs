//! Signs of life, and the token's end.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::{Instant, advance, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tramline_ws_rooms::Credential;

use crate::support::{Peer, node, peer, publish, settle};

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_ping_frame() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let start = Instant::now();
    let ping = ada.frame().await.unwrap();
    assert_eq!(ping, json!({"type": "ping"}));
    let first = start.elapsed();
    assert!((25..=27).contains(&first.as_secs()), "{first:?}");
    // An event starts the silence anew.
    tokio::time::sleep(Duration::from_secs(8)).await;
    publish(&rooms, &["broadcast"], "e1").await;
    ada.expect("event").await;
    let start = Instant::now();
    assert_eq!(ada.frame().await.unwrap()["type"], "ping");
    assert!(start.elapsed() >= Duration::from_secs(24));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_stays_and_one_that_does_not_is_cut() {
    let rooms = node();
    let mut reads = Peer::connect(&rooms, "ada/customer/s1/3600").await;
    let silent = Peer::connect(&rooms, "bob/customer/s2/3600").await;
    let start = Instant::now();
    // The reader's library answers protocol pings while it waits for frames.
    let reading = tokio::spawn(async move {
        let _ = timeout(Duration::from_secs(300), async { while reads.frame().await.is_some() {} }).await;
        reads
    });
    assert_eq!(silent.server.await.unwrap(), 1006);
    let cut = start.elapsed();
    assert!((40..=43).contains(&cut.as_secs()), "30 s and 10 s, not {cut:?}");
    let reads = reading.await.unwrap();
    assert!(!reads.server.is_finished());
    assert_eq!(rooms.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn any_frame_counts_as_a_sign_of_life() {
    // Reads nothing, so answers no protocol ping, but writes.
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/3600").await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        ada.send(json!({"type": "ping"})).await;
    }
    assert!(!ada.server.is_finished());
}

#[tokio::test(start_paused = true)]
async fn pings_go_out_every_thirty_seconds() {
    let rooms = node();
    let admission = rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await.unwrap();
    let (near, far) = tokio::io::duplex(4096);
    let server = rooms.clone();
    tokio::spawn(async move { server.serve(admission, far).await });
    let mut socket = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let start = Instant::now();
    let mut pings = Vec::new();
    while pings.len() < 3 {
        if let Message::Ping(_) = socket.next().await.unwrap().unwrap() {
            pings.push(start.elapsed().as_secs());
        }
    }
    for (ping, due) in pings.iter().zip([30, 60, 90]) {
        assert!(ping.abs_diff(due) <= 4, "{pings:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_tokens_end_is_announced_and_enforced() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/50").await;
    let start = Instant::now();
    let notice = ada.frame().await.unwrap();
    assert_eq!(notice["type"], "ping");
    assert_eq!(notice["expiresAt"], ada.welcome["expiresAt"]);
    assert!((19..=21).contains(&start.elapsed().as_secs()));
    let (frames, code) = ada.rest().await;
    assert_eq!(code, Some(4201));
    assert!((49..=51).contains(&start.elapsed().as_secs()));
    let notices = frames.iter().filter(|frame| frame.get("expiresAt").is_some()).count();
    assert_eq!(notices, 0, "announced once");
    let goodbye = frames.last().unwrap();
    assert_eq!((&goodbye["type"], &goodbye["code"]), (&json!("goodbye"), &json!(4201)));
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_moves_the_end() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/50").await;
    advance(Duration::from_secs(10)).await;
    let answer = ada.ask(json!({"type": "auth", "id": "a", "token": "ada/customer/s1/100"})).await;
    assert_eq!(answer["type"], "authenticated");
    assert!(answer["expiresAt"].as_str().unwrap() > ada.welcome["expiresAt"].as_str().unwrap());
    let start = Instant::now();
    let (_, code) = ada.rest().await;
    assert_eq!(code, Some(4201));
    assert!((99..=101).contains(&start.elapsed().as_secs()));
    settle().await;
    assert_eq!(rooms.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_renewed_token_is_announced_too() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1/50").await;
    assert_eq!(ada.frame().await.unwrap()["expiresAt"], ada.welcome["expiresAt"]);
    let answer = ada.ask(json!({"type": "auth", "id": "a", "token": "ada/customer/s1/100"})).await;
    assert_eq!(answer["type"], "authenticated");
    let (frames, code) = ada.rest().await;
    let told: Vec<_> = frames.iter().filter_map(|frame| frame.get("expiresAt")).collect();
    assert_eq!((told, code), (vec![&answer["expiresAt"]], Some(4201)));
}

/// More connections than one slice of the sweep: each is looked at in each round, once.
#[tokio::test(start_paused = true)]
async fn a_sweep_in_slices_leaves_nobody_out() {
    const MANY: usize = 1_300;
    let mut config = crate::support::config();
    (config.limits.connections_per_address, config.limits.connections_per_user) = (MANY, MANY);
    let rooms = crate::support::node_with(config);
    let mut peers = Vec::new();
    for n in 0..MANY {
        peers.push(Peer::connect_with_pipe(&rooms, &format!("u{n}/customer/s/50"), 1_024).await);
    }
    let start = Instant::now();
    let lives = peers.into_iter().map(|mut peer| async move {
        let (frames, code) = peer.rest().await;
        let notices = frames.iter().filter(|frame| frame.get("expiresAt").is_some()).count();
        assert_eq!((notices, code), (1, Some(4201)));
        start.elapsed().as_secs()
    });
    let lives = futures_util::future::join_all(lives).await;
    assert!(lives.iter().all(|life| (49..=51).contains(life)));
}
