//! Who is there.

mod lost;
mod redis;
mod rights;
mod written;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use tramline_ws_rooms::backplane::{Driver, MemoryBackplane};
use tramline_ws_rooms::{Backplane, HistoryConfig, RoomRule, Rooms};

use crate::support::{Gatekeeper, Peer, config, node, node_with, publish, room, settle};

/// The next that is told of people, whatever else the room says.
async fn news(peer: &mut Peer) -> (Value, Value) {
    let told = async {
        loop {
            let frame = peer.next().await;
            match frame["type"].as_str() {
                Some("joined" | "left") => return (frame["type"].clone(), frame["userId"].clone()),
                Some("gap" | "event") => {}
                _ => panic!("{frame}"),
            }
        }
    };
    timeout(Duration::from_secs(60), told).await.expect("people come and go")
}

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

/// More people than one answer takes: the first by id, and how many there are.
#[tokio::test(start_paused = true)]
async fn a_long_list_says_how_long_it_is() {
    let backplane = MemoryBackplane::new(HistoryConfig::default());
    let rooms = Rooms::new(config(), Gatekeeper::default(), Backplane::new(backplane.clone()));
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    for number in 0..1_200 {
        backplane.enter(&room("payment:1"), &format!("b{number:04}").into());
        ada.expect("joined").await;
    }
    let answer = ada.ask(json!({"type": "presence", "room": "payment:1"})).await;
    let members = answer["members"].as_array().unwrap();
    assert_eq!((members.len(), &answer["total"]), (1_000, &json!(1_201)));
    assert_eq!((&members[0]["userId"], &members[999]["userId"]), (&json!("ada"), &json!("b0998")));
}

/// A room of this node only: who has left it is told of without anybody's asking.
#[tokio::test(start_paused = true)]
async fn people_leave_local_rooms_too() {
    let mut config = config();
    config.rules = vec![RoomRule::prefix("payment:").local().with_presence()];
    let rooms = node_with(config);
    let join = json!({"type": "subscribe", "room": "payment:1"});
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    ada.ask(join.clone()).await;
    let mut bob = Peer::connect(&rooms, "bob/customer/s2").await;
    bob.ask(join).await;
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    bob.ask(json!({"type": "unsubscribe", "room": "payment:1"})).await;
    assert_eq!(news(&mut ada).await, (json!("left"), json!("bob")));
}

/// A node goes down, and its people come back to another one within the time that it told them: nobody hears of it.
#[tokio::test(start_paused = true)]
async fn who_comes_back_from_a_drain_has_never_left() {
    let backplane = Backplane::memory();
    let [goes, stays] = [(); 2].map(|()| Rooms::new(config(), Gatekeeper::default(), backplane.clone()));
    let join = json!({"type": "subscribe", "room": "payment:1"});
    let mut ada = Peer::connect(&stays, "ada/customer/s1").await;
    ada.ask(join.clone()).await;
    let mut bob = Peer::connect(&goes, "bob/customer/s2").await;
    bob.ask(join.clone()).await;
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    let draining = tokio::spawn(async move { goes.drain(Duration::from_secs(20)).await });
    assert_eq!(bob.rest().await.1, Some(4200));
    assert_eq!(draining.await.unwrap().told, 1);
    // As late as he may, and as long again as it takes whose connection breaks.
    tokio::time::sleep(config().drain_spread + Duration::from_secs(4)).await;
    let mut bob = Peer::connect(&stays, "bob/customer/s2").await;
    bob.ask(join).await;
    ada.quiet().await;
}
