//! What is too much.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, advance};
use tramline_ws_rooms::{Credential, PeerInfo};

use crate::support::{Peer, config, node, node_with, peer};

#[tokio::test(start_paused = true)]
async fn twenty_messages_a_second() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    for _ in 0..20 {
        ada.send(json!({"type": "ping"})).await;
    }
    for _ in 0..20 {
        ada.expect("pong").await;
    }
    advance(Duration::from_secs(1)).await;
    for _ in 0..21 {
        ada.send(json!({"type": "ping"})).await;
    }
    let (frames, code) = ada.rest().await;
    assert_eq!(code, Some(4129));
    assert_eq!(frames.last().unwrap()["type"], "goodbye");
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_64_kib_and_not_a_byte_more() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let frame = |size: usize| {
        let text = json!({"type": "ping", "pad": ""}).to_string();
        text.replace("\"pad\":\"\"", &format!("\"pad\":\"{}\"", "x".repeat(size - text.len())))
    };
    ada.client.send_text(frame(65_536)).await.unwrap();
    ada.expect("pong").await;
    // The pipe holds 64 KiB: the refused frame must be read, or the goodbye could not be.
    ada.client.send_text(frame(65_537)).await.unwrap();
    let (frames, code) = ada.rest().await;
    assert_eq!(code, Some(1009));
    assert_eq!(frames.last().unwrap()["code"], 1009);
    assert_eq!(ada.server.await.unwrap(), 1009);
}

#[tokio::test(start_paused = true)]
async fn rooms_per_connection() {
    let mut config = config();
    config.limits.rooms_per_connection = 5;
    let rooms = node_with(config);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut ask = async |kind: &str, room: &str| {
        let answer = ada.ask(json!({"type": kind, "room": room})).await;
        answer["code"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(ask("subscribe", "payment:1").await, "");
    assert_eq!(ask("subscribe", "payment:2").await, "");
    assert_eq!(ask("subscribe", "payment:3").await, "TOO_MANY_ROOMS");
    // Again in a room where it is: that is no new one.
    assert_eq!(ask("subscribe", "payment:2").await, "");
    assert_eq!(ask("unsubscribe", "payment:1").await, "");
    assert_eq!(ask("subscribe", "payment:3").await, "");
}

#[tokio::test(start_paused = true)]
async fn connections_per_user_and_address() {
    let mut config = config();
    config.limits.connections_per_user = 2;
    config.limits.connections_per_address = 3;
    let rooms = node_with(config);
    let admit = |user: &str, addr: &str| {
        let credential = Credential::Bearer(format!("{user}/customer/s"));
        rooms.admit(credential, PeerInfo::new(addr.parse().unwrap()))
    };
    let first = admit("ada", "192.0.2.1").await.unwrap();
    let _second = admit("ada", "192.0.2.1").await.unwrap();
    let refusal = admit("ada", "192.0.2.9").await.unwrap_err();
    assert_eq!((refusal.status.as_u16(), refusal.code), (429, "RATE_LIMITED"));
    assert!(refusal.retry_after.is_some());
    // The refused one gave its place back.
    let _third = admit("bob", "192.0.2.1").await.unwrap();
    // The same address in IPv6 clothes.
    assert_eq!(admit("cyd", "::ffff:192.0.2.1").await.unwrap_err().status.as_u16(), 429);
    drop(first);
    admit("ada", "192.0.2.1").await.unwrap();
    // One /64 is one address.
    let mut held = Vec::new();
    for user in ["d", "e", "f"] {
        held.push(admit(user, &format!("2001:db8::{user}")).await.unwrap());
    }
    assert_eq!(admit("g", "2001:db8::1:2:3:4").await.unwrap_err().status.as_u16(), 429);
    admit("g", "2001:db8:0:1::1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_on_a_node() {
    let mut config = config();
    config.limits.connections = 1;
    let rooms = node_with(config);
    let admit = || rooms.admit(Credential::Bearer("ada/customer/s".into()), peer());
    let held = admit().await.unwrap();
    assert_eq!(admit().await.unwrap_err().status.as_u16(), 503);
    drop(held);
    admit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_dropped_leaves_nothing_behind() {
    let rooms = node();
    let admission = rooms.admit(Credential::Bearer("ada/customer/s1".into()), peer()).await.unwrap();
    assert_eq!(rooms.stats().connections, 1);
    drop(admission);
    assert_eq!(rooms.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_backlog_are_told_so() {
    let mut config = config();
    config.limits.messages_per_second = 1_000;
    let rooms = node_with(config);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let start = Instant::now();
    for n in 0..40 {
        ada.send(json!({"type": "subscribe", "id": n, "room": "payment:gated"})).await;
    }
    let busy = ada.next().await;
    assert_eq!((&busy["code"], &busy["retry"]), (&json!("BUSY"), &json!(true)));
    assert!(start.elapsed() < Duration::from_secs(1));
}
