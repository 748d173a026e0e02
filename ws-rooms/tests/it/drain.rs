//! Going down.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tramline_ws_rooms::{Backplane, Credential, Rooms};

use crate::support::{Gatekeeper, Peer, config, node, peer, publish, settle};

#[tokio::test(start_paused = true)]
async fn everyone_hears_goodbye_with_a_delay_of_their_own() {
    let rooms = node();
    let mut peers = Vec::new();
    for n in 0..8 {
        peers.push(Peer::connect(&rooms, &format!("u{n}/customer/s{n}")).await);
    }
    publish(&rooms, &["broadcast"], "last").await;
    let draining = tokio::spawn({
        let rooms = rooms.clone();
        async move { rooms.drain(Duration::from_secs(20)).await }
    });
    let mut delays = HashSet::new();
    for peer in &mut peers {
        // What was queued is still sent.
        assert_eq!(peer.expect("event").await["event"]["id"], "last");
        let goodbye = peer.expect("goodbye").await;
        assert_eq!((&goodbye["code"], &goodbye["reason"]), (&json!(4200), &json!("drain")));
        let delay = goodbye["retryAfterMs"].as_u64().unwrap();
        assert!(delay <= 5_000);
        delays.insert(delay);
        assert_eq!(peer.rest().await.1, Some(4200));
    }
    assert!(delays.len() > 1, "drawn for each");
    let report = draining.await.unwrap();
    assert_eq!((report.told, report.cut), (8, 0));
    assert_eq!(rooms.stats().connections, 0);

    let refusal = rooms.admit(Credential::Bearer("ada/customer/s".into()), peer()).await.unwrap_err();
    assert_eq!(refusal.status.as_u16(), 503);
    assert!(refusal.retry_after.is_some());
    assert_eq!(rooms.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_go_is_cut() {
    let rooms = node();
    let stuck = Peer::connect_with_pipe(&rooms, "ada/customer/s1", 64).await;
    rooms.publish(crate::support::bulky(&["broadcast"], "b", 50_000)).await.unwrap();
    let start = tokio::time::Instant::now();
    let report = rooms.drain(Duration::from_secs(2)).await;
    assert_eq!((report.told, report.cut), (1, 1));
    // Gone on return: the process may end now.
    assert_eq!(rooms.stats().connections, 0);
    assert!(stuck.server.is_finished());
    assert!(start.elapsed() <= Duration::from_secs(3));
    assert_eq!(stuck.server.await.unwrap(), 4200);
    assert!(start.elapsed() <= Duration::from_secs(3));
    assert_eq!(rooms.stats().queued_bytes, 0);
}

/// Whoever cuts a connection in its goodbye leaves frames behind: they count no longer.
#[tokio::test(start_paused = true)]
async fn what_waits_for_one_who_is_cut_is_given_back() {
    let rooms = node();
    let stuck = Peer::connect_with_pipe(&rooms, "ada/customer/s1", 64).await;
    for number in 0..8 {
        let event = crate::support::bulky(&["broadcast"], &format!("b{number}"), 20_000);
        rooms.publish(event).await.unwrap();
    }
    let draining = tokio::spawn({
        let rooms = rooms.clone();
        async move { rooms.drain(Duration::from_secs(20)).await }
    });
    settle().await;
    assert!(rooms.stats().queued_bytes > 20_000, "it has been told, and takes nothing");
    stuck.server.abort();
    draining.await.unwrap();
    assert_eq!(rooms.stats().queued_bytes, 0);
}

/// Each for a time of its own, and never longer than the bound.
#[tokio::test(start_paused = true)]
async fn a_life_that_is_over_ends_as_in_a_drain() {
    let mut config = config();
    config.max_lifetime = Some(Duration::from_secs(100));
    let rooms = crate::support::node_with(config);
    let mut peers = Vec::new();
    for n in 0..16 {
        peers.push(Peer::connect(&rooms, &format!("u{n}/customer/s{n}")).await);
    }
    publish(&rooms, &["broadcast"], "last").await;
    let start = tokio::time::Instant::now();
    let ends = peers.into_iter().map(|mut peer| async move {
        let (frames, code) = peer.rest().await;
        let goodbye = frames.last().unwrap();
        assert_eq!((code, &goodbye["reason"]), (Some(4200), &json!("lifetime")));
        assert!(goodbye["retryAfterMs"].as_u64().is_some_and(|delay| delay <= 1_000), "{goodbye}");
        assert_eq!(frames[0]["type"], "event", "what was queued is still sent");
        start.elapsed().as_secs()
    });
    let lives: Vec<u64> = futures_util::future::join_all(ends).await;
    assert!(lives.iter().all(|life| (74..=101).contains(life)), "{lives:?}");
    assert!(lives.iter().collect::<HashSet<_>>().len() > 3, "drawn for each: {lives:?}");
    // Nobody is kept out: they come back at once.
    Peer::connect(&rooms, "u0/customer/s0").await;
}

/// Whose token was being checked when it began is not let in behind its back.
#[tokio::test(start_paused = true)]
async fn who_is_being_let_in_when_it_begins_is_sent_elsewhere() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    gatekeeper.door.forget_permits(usize::MAX >> 3);
    let admitting = tokio::spawn({
        let rooms = rooms.clone();
        async move { rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await.map(drop) }
    });
    settle().await;
    rooms.drain(Duration::from_secs(20)).await;
    gatekeeper.door.add_permits(1);
    let refusal = admitting.await.unwrap().unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after.is_some()), ("UNAVAILABLE", true));
}
