//! Readers that do not keep up.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tramline_ws_rooms::{Credential, Publication, RoomRule, Rooms, SlowPolicy};

use crate::support::{Peer, bulky, config, node, node_with, peer, publish, room, settle};

fn sample(rooms: &Rooms, id: &str, bytes: usize) -> tramline_ws_rooms::Delivery {
    let event = json!({"id": id, "data": "x".repeat(bytes)}).to_string();
    let sample = Publication::new(id, vec![room("system:live")], event).unwrap();
    rooms.publish_local(sample).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_cuts_the_connection_and_nobody_else() {
    let rooms = node();
    let mut slow = Peer::connect_with_pipe(&rooms, "slow/customer/s1", 1024).await;
    let mut good = Peer::connect(&rooms, "good/customer/s2").await;
    let mut dropped = 0;
    for n in 0..20 {
        let event = bulky(&["broadcast"], &format!("b{n}"), 20_000);
        let delivery = rooms.publish(event).await.unwrap();
        dropped += delivery.dropped;
        assert!(rooms.stats().queued_bytes <= 2 * 256 * 1024);
        assert_eq!(good.expect("event").await["offset"], n + 1);
    }
    assert_eq!(dropped, 1, "after the cut nothing is offered");
    assert_eq!(rooms.stats().dropped, 1);
    // It was told, once it reads again; what had not been sent is gone.
    let (frames, code) = slow.rest().await;
    assert_eq!(code, Some(4108));
    assert!(frames.len() < 6);
    assert_eq!(frames.last().unwrap()["code"], 4108);
    settle().await;
    assert_eq!(rooms.stats().queued_bytes, 0);
    assert_eq!(rooms.stats().connections, 1);
}

/// Reads up to an event; the offsets that came and those that gaps stood for, in order.
async fn read_up_to(peer: &mut Peer, last: u64) -> (Vec<u64>, Vec<u64>) {
    let (mut came, mut missing, mut place) = (Vec::new(), Vec::new(), 0);
    while place < last {
        let frame = peer.next().await;
        let offset = frame["offset"].as_u64().unwrap();
        if frame["type"] == "gap" {
            assert_eq!(frame["reason"], "slow");
            missing.extend(place + 1..=offset);
        } else {
            assert_eq!(offset, place + 1, "a hole: {frame}");
            came.push(offset);
        }
        place = offset;
    }
    (came, missing)
}

#[tokio::test(start_paused = true)]
async fn a_room_whose_rule_says_so_drops_its_oldest() {
    let rooms = node();
    let mut ada = Peer::connect_with_pipe(&rooms, "ada/admin/s1", 1024).await;
    ada.ask(json!({"type": "subscribe", "room": "system:live"})).await;
    for n in 0..20 {
        sample(&rooms, &format!("s{n}"), 20_000);
        settle().await;
        assert!(rooms.stats().queued_bytes <= 256 * 1024);
    }
    let (came, missing) = read_up_to(&mut ada, 20).await;
    assert_eq!(rooms.stats().dropped, missing.len() as u64);
    assert!(
        !missing.is_empty() && missing.iter().all(|offset| *offset < 12),
        "the oldest that waited: {missing:?}"
    );
    assert_eq!(came.len() + missing.len(), 20);
    sample(&rooms, "next", 10);
    assert_eq!(ada.expect("event").await["offset"], 21);
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_of_which_only_the_latest_counts_keeps_that() {
    let mut config = config();
    config.rules.insert(0, RoomRule::exact("system:live").local().on_slow(SlowPolicy::Latest));
    let rooms = node_with(config);
    let mut ada = Peer::connect_with_pipe(&rooms, "ada/admin/s1", 1024).await;
    ada.ask(json!({"type": "subscribe", "room": "system:live"})).await;
    for n in 0..20 {
        sample(&rooms, &format!("s{n}"), 2_000);
        settle().await;
        assert!(rooms.stats().queued_bytes <= 3_000, "one event and one gap");
    }
    let (came, missing) = read_up_to(&mut ada, 20).await;
    assert_eq!((came, missing), (vec![1, 20], (2..20).collect()));
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_is_cut_after_ten_seconds() {
    let rooms = node();
    let slow = Peer::connect_with_pipe(&rooms, "slow/customer/s1", 1024).await;
    rooms.publish(bulky(&["broadcast"], "b", 5_000)).await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(slow.server.await.unwrap(), 1006);
    assert!((10..=12).contains(&start.elapsed().as_secs()));
    settle().await;
    assert_eq!(rooms.stats().queued_bytes, 0);
}

/// A recovery of 180 KB at 4 KB/s takes 45 s: longer than a write may stand still, and over a protocol ping, whose
/// pong waits behind it. Whoever cuts such a reader meets it again, with the same question.
#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_reader_stays() {
    let rooms = node();
    let long = Duration::from_secs(3_600);
    let ada = Peer::connect_over_slow_link(&rooms, "ada/customer/s1/3600", 4_000, long).await;
    let since = ada.place("user:ada");
    drop(ada);
    for n in 0..3 {
        rooms.publish(bulky(&["user:ada"], &format!("b{n}"), 60_000)).await.unwrap();
    }
    let mut ada = Peer::connect_over_slow_link(&rooms, "ada/customer/s1/3600", 4_000, long).await;
    let start = tokio::time::Instant::now();
    let answer = ada.ask(json!({"type": "subscribe", "room": "user:ada", "since": since})).await;
    assert_eq!((&answer["recovered"], answer["events"].as_array().unwrap().len()), (&json!(true), 3));
    assert!(start.elapsed() > Duration::from_secs(40), "a slow link indeed");
    ada.quiet().await;
}

/// Having read is no promise to read on.
#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_cut_ten_seconds_later() {
    let rooms = node();
    let lasts = Duration::from_secs(15);
    let mut ada = Peer::connect_over_slow_link(&rooms, "ada/customer/s1/3600", 4_000, lasts).await;
    let start = tokio::time::Instant::now();
    for n in 0..3 {
        rooms.publish(bulky(&["user:ada"], &format!("b{n}"), 60_000)).await.unwrap();
    }
    let reading = tokio::spawn(async move { while ada.frame().await.is_some() {} });
    let code = loop {
        settle().await;
        if rooms.stats().connections == 0 {
            break start.elapsed().as_secs();
        }
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(start.elapsed() < Duration::from_secs(60), "never cut");
    };
    assert!((24..=28).contains(&code), "cut after {code} s");
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_does_not_outlive_its_close() {
    let rooms = node();
    let slow = Peer::connect_with_pipe(&rooms, "slow/customer/s1", 64).await;
    for n in 0..20 {
        rooms.publish(bulky(&["broadcast"], &format!("b{n}"), 20_000)).await.unwrap();
    }
    let start = tokio::time::Instant::now();
    assert_eq!(slow.server.await.unwrap(), 4108);
    assert!(start.elapsed() <= Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn bursts_share_a_write() {
    // Frames that wait leave together, and each is still a frame of its own.
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    for n in 0..50 {
        publish(&rooms, &["user:ada"], &format!("e{n}")).await;
    }
    for n in 0..50 {
        assert_eq!(ada.expect("event").await["offset"], n + 1);
    }
}

/// A client on a pipe of so many bytes, which has read its welcome and reads no more.
async fn deaf(rooms: &Rooms, pipe: usize) -> (WebSocketStream<DuplexStream>, JoinHandle<u16>) {
    let admission = rooms.admit(Credential::Bearer("ada/customer/s1/3600".into()), peer()).await.unwrap();
    let (near, far) = tokio::io::duplex(pipe);
    let rooms = rooms.clone();
    let server = tokio::spawn(async move { rooms.serve(admission, far).await });
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    client.next().await.unwrap().unwrap();
    (client, server)
}

/// It is alive, by what it writes, and yet its pongs go nowhere.
#[tokio::test(start_paused = true)]
async fn who_pings_and_reads_nothing_is_cut_after_ten_seconds() {
    let rooms = node();
    let (mut client, server) = deaf(&rooms, 1024).await;
    let start = tokio::time::Instant::now();
    // Eight pongs fit.
    while !server.is_finished() && start.elapsed() < Duration::from_secs(60) {
        let _ = client.send(Message::Ping(vec![0; 125].into())).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(server.await.unwrap(), 1006);
    assert!((17..=22).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_closes_and_reads_no_answer_is_cut_after_ten_seconds() {
    let rooms = node();
    let (mut client, server) = deaf(&rooms, 64).await;
    let start = tokio::time::Instant::now();
    let close = CloseFrame { code: CloseCode::Normal, reason: "x".repeat(100).into() };
    client.send(Message::Close(Some(close))).await.unwrap();
    assert_eq!(server.await.unwrap(), 1006);
    assert!((10..=12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
