//! Who is there.

use serde_json::json;

use crate::support::{Peer, node, publish, settle};

#[tokio::test(start_paused = true)]
async fn first_and_last_connections_are_told_once() {
    let rooms = node();
    let join = json!({"type": "subscribe", "room": "payment:1"});
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    ada.ask(join.clone()).await;
    let mut tab = Peer::connect(&rooms, "bob/customer/s2").await;
    let mut phone = Peer::connect(&rooms, "bob/customer/s3").await;
    tab.ask(join.clone()).await;
    phone.ask(join.clone()).await;
    phone.ask(join).await;
    let joined = ada.expect("joined").await;
    assert_eq!(joined, json!({"type": "joined", "room": "payment:1", "userId": "bob"}));
    ada.quiet().await;

    let answer = ada.ask(json!({"type": "presence", "id": "p", "room": "payment:1"})).await;
    let members = json!([{"userId": "ada", "connections": 1}, {"userId": "bob", "connections": 2}]);
    assert_eq!((&answer["type"], &answer["members"]), (&json!("presence"), &members));

    tab.ask(json!({"type": "unsubscribe", "room": "payment:1"})).await;
    ada.quiet().await;
    // A connection that breaks leaves too.
    drop(phone);
    settle().await;
    assert_eq!(ada.expect("left").await["userId"], "bob");
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn only_members_ask_and_only_where_it_is_on() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    for room in ["payment:1", "broadcast", "user:bob", "?"] {
        let answer = ada.ask(json!({"type": "presence", "room": room})).await;
        assert_eq!(answer["code"], "FORBIDDEN");
    }
    let _bob = Peer::connect(&rooms, "bob/customer/s2").await;
    publish(&rooms, &["broadcast"], "e1").await;
    ada.expect("event").await;
}
