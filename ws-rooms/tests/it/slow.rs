//! Readers that do not keep up.

use std::time::Duration;

use serde_json::json;
use tramline_ws_rooms::{Publication, Rooms};

use crate::support::{Peer, bulky, node, publish, room, settle};

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

#[tokio::test(start_paused = true)]
async fn a_room_whose_rule_says_so_drops_and_tells() {
    let rooms = node();
    let mut ada = Peer::connect_with_pipe(&rooms, "ada/admin/s1", 1024).await;
    ada.ask(json!({"type": "subscribe", "room": "system:live"})).await;
    let mut dropped = 0;
    for n in 0..20 {
        dropped += sample(&rooms, &format!("s{n}"), 20_000).dropped;
        settle().await;
    }
    assert!(dropped > 0);
    // Silence after the drop: the gap is told all the same.
    let mut offsets = Vec::new();
    loop {
        let frame = ada.next().await;
        if frame["type"] == "gap" {
            assert_eq!((&frame["reason"], &frame["offset"]), (&json!("slow"), &json!(20)));
            break;
        }
        offsets.push(frame["offset"].as_u64().unwrap());
    }
    let expected: Vec<u64> = (1..=20 - dropped).collect();
    assert_eq!(offsets, expected);
    sample(&rooms, "next", 10);
    assert_eq!(ada.expect("event").await["offset"], 21);
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_comes_before_the_rooms_next_event() {
    let rooms = node();
    let mut ada = Peer::connect_with_pipe(&rooms, "ada/admin/s1", 1024).await;
    ada.ask(json!({"type": "subscribe", "room": "system:live"})).await;
    for n in 0..17 {
        sample(&rooms, &format!("s{n}"), 20_000);
        settle().await;
    }
    // A small one still fits where a large one did not.
    sample(&rooms, "small", 10);
    let mut expected = 1;
    let mut gaps = 0;
    while expected <= 18 {
        let frame = ada.next().await;
        let offset = frame["offset"].as_u64().unwrap();
        if frame["type"] == "gap" {
            gaps += 1;
            expected = offset + 1;
        } else {
            assert_eq!(offset, expected);
            expected += 1;
        }
    }
    assert_eq!(gaps, 1);
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
