//! What others than clients see of connections and rooms, and do with them.

use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tramline_ws_rooms::{Backplane, Close, Rooms, Target};

use crate::support::{Gatekeeper, Peer, bulky, config, node, publish, room, settle};

fn id(peer: &Peer) -> String {
    peer.welcome["connectionId"].as_str().unwrap().to_owned()
}

fn one(peer: &Peer) -> Target {
    Target::Connection(id(peer))
}

#[tokio::test(start_paused = true)]
async fn connections_are_listed_page_by_page_and_each_can_be_looked_at() {
    let rooms = node();
    let mut peers = Vec::new();
    for number in 0..5 {
        peers.push(Peer::connect(&rooms, &format!("u{number}/customer/s{number}")).await);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = rooms.connections(after.as_deref(), 2);
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page.into_iter().map(|connection| connection.id));
    }
    assert_eq!(seen, peers.iter().map(id).collect::<Vec<_>>(), "each once, in the order in which they came");
    // One that has gone is still a place in the order.
    drop(peers.remove(2));
    settle().await;
    let page = rooms.connections(Some(&seen[2]), 10);
    assert_eq!(page.iter().map(|connection| &connection.id).collect::<Vec<_>>(), [&seen[3], &seen[4]]);
    assert!(rooms.connections(Some("nobody"), 10).is_empty());

    tokio::time::advance(Duration::from_secs(5)).await;
    peers[0].quiet().await;
    tokio::time::advance(Duration::from_secs(2)).await;
    let info = rooms.connection(&seen[0]).unwrap();
    assert_eq!(
        (info.user_id.as_str(), info.session_id.as_str(), info.role.as_str()),
        ("u0", "s0", "customer")
    );
    assert_eq!(info.addr, crate::support::peer().addr);
    assert_eq!(info.rooms, [room("broadcast"), room("role:customer"), room("user:u0")]);
    assert!(info.age.as_millis().abs_diff(7_000) <= 1, "{:?}", info.age);
    assert_eq!((info.silence.as_secs(), info.queued_bytes), (2, 0));
    assert_eq!(json!(info.expires_at.to_string()), peers[0].welcome["expiresAt"]);
    assert!(rooms.connection(&seen[2]).is_none());
    for (target, found) in [
        (Target::User("u1".into()), Some(&seen[1])),
        (Target::Session("s3".into()), Some(&seen[3])),
        (one(&peers[0]), Some(&seen[0])),
        (Target::User("u2".into()), None),
    ] {
        let ids: Vec<_> = rooms.connections_of(&target).into_iter().map(|info| info.id).collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), Vec::from_iter(found), "{target:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_connection_is_told() {
    let rooms = node();
    let stuck = Peer::connect_with_pipe(&rooms, "ada/customer/s1", 64).await;
    rooms.publish(bulky(&["broadcast"], "b1", 50_000)).await.unwrap();
    settle().await;
    rooms.publish(bulky(&["broadcast"], "b2", 1_000)).await.unwrap();
    settle().await;
    assert!(rooms.connection(&id(&stuck)).unwrap().queued_bytes > 1_000);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_listed_by_name_with_their_members() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let _bob = Peer::connect(&rooms, "bob/customer/s2").await;
    ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    let all: Vec<_> =
        rooms.list_rooms(None, 100).into_iter().map(|info| (info.room.to_string(), info.members)).collect();
    let expected =
        [("broadcast", 2), ("payment:1", 1), ("role:customer", 2), ("user:ada", 1), ("user:bob", 1)];
    assert_eq!(all, expected.map(|(name, members)| (name.to_owned(), members)));
    let (mut names, mut after) = (Vec::new(), None);
    while let Some(last) = rooms.list_rooms(after.as_ref(), 2).pop() {
        names.extend(rooms.list_rooms(after.as_ref(), 2).into_iter().map(|info| info.room.to_string()));
        after = Some(last.room);
    }
    assert_eq!(names, expected.map(|(name, _)| name.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_ended_and_may_come_back() {
    let rooms = node();
    let mut tab = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut phone = Peer::connect(&rooms, "ada/customer/s1").await;
    assert_eq!(rooms.close(&one(&tab), &Close::new(4100, "for once")), 1);
    let (frames, code) = tab.rest().await;
    assert_eq!((code, &frames.last().unwrap()["reason"]), (Some(4100), &json!("for once")));
    settle().await;
    assert_eq!(rooms.close(&one(&tab), &Close::FORBIDDEN), 0);
    assert_eq!(rooms.close(&Target::Connection("nobody".into()), &Close::FORBIDDEN), 0);
    phone.quiet().await;
    Peer::connect(&rooms, "ada/customer/s1").await;
}

/// Into a room and out of it, whatever the client does: it is told of both.
#[tokio::test(start_paused = true)]
async fn the_application_gives_a_room_and_takes_it() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/guest/s1").await;
    let mut bob = Peer::connect(&rooms, "bob/customer/s2").await;
    let desk = room("payment:desk");
    publish(&rooms, &["payment:desk"], "e0").await;
    assert_eq!(rooms.join(&Target::User("ada".into()), &desk), 1);
    let told = ada.expect("subscribed").await;
    assert_eq!(
        (&told["room"], &told["offset"], &told["events"]),
        (&json!("payment:desk"), &json!(1), &json!([]))
    );
    assert!(told.get("id").is_none() && told.get("recovered").is_none());
    publish(&rooms, &["payment:desk"], "e1").await;
    assert_eq!(ada.expect("event").await["event"]["id"], "e1");

    // The authority has nothing to say about it: not when it is recovered, not when the token is renewed.
    let since = json!({"epoch": told["epoch"], "offset": 1});
    let answer = ada.ask(json!({"type": "subscribe", "room": "payment:desk", "since": since})).await;
    assert_eq!((&answer["recovered"], answer["events"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!(ada.ask(json!({"type": "auth", "token": "ada/guest/s1"})).await["type"], "authenticated");
    let answer = ada.ask(json!({"type": "unsubscribe", "room": "payment:desk"})).await;
    assert_eq!(answer["code"], "FORBIDDEN");
    // Others see her, since the room tells who is there.
    bob.ask(json!({"type": "subscribe", "room": "payment:desk"})).await;
    assert_eq!(ada.expect("joined").await["userId"], "bob");

    assert_eq!(rooms.leave(&one(&ada), &desk), 1);
    publish(&rooms, &["payment:desk"], "e2").await;
    assert_eq!(
        ada.next().await,
        json!({"type": "unsubscribed", "room": "payment:desk", "reason": "forbidden"})
    );
    ada.quiet().await;
    assert_eq!(rooms.leave(&one(&ada), &desk), 0);
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:desk"})).await["code"], "FORBIDDEN");
    assert_eq!(bob.expect("event").await["event"]["id"], "e2");
    assert_eq!(bob.expect("left").await["userId"], "ada");
}

/// The caller waits for nobody, so what follows at once has to hold too: the last word counts.
#[tokio::test(start_paused = true)]
async fn the_last_word_counts() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let (target, desk) = (one(&ada), room("payment:desk"));
    assert_eq!((rooms.join(&target, &desk), rooms.leave(&target, &desk)), (1, 1));
    ada.quiet().await;
    settle().await;
    assert!(!rooms.has_members(&desk));
    for _ in 0..3 {
        assert_eq!(rooms.join(&target, &desk), 1);
    }
    ada.expect("subscribed").await;
    assert_eq!((rooms.leave(&target, &desk), rooms.join(&target, &desk)), (1, 1));
    assert_eq!(ada.next().await["type"], "unsubscribed");
    assert_eq!(ada.next().await["type"], "subscribed");
    publish(&rooms, &["payment:desk"], "e1").await;
    ada.expect("event").await;
    ada.quiet().await;
}

/// A request in progress holds up the join, and no leave.
#[tokio::test(start_paused = true)]
async fn a_leave_does_not_wait_for_a_request() {
    let gatekeeper = Gatekeeper::default();
    let rooms = Rooms::new(config(), gatekeeper.clone(), Backplane::memory());
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    ada.send(json!({"type": "subscribe", "id": "slow", "room": "payment:gated"})).await;
    settle().await;
    rooms.join(&one(&ada), &room("payment:2"));
    rooms.leave(&one(&ada), &room("payment:1"));
    assert_eq!(ada.next().await["room"], "payment:1");
    settle().await;
    assert!(!rooms.has_members(&room("payment:2")));
    gatekeeper.gate.add_permits(Semaphore::MAX_PERMITS >> 1);
    assert_eq!(ada.expect("subscribed").await["id"], "slow");
    assert_eq!(ada.expect("subscribed").await["room"], "payment:2");
}

/// A connection is in so many rooms and no more, whoever puts it there.
#[tokio::test(start_paused = true)]
async fn rooms_that_are_given_count() {
    let mut config = config();
    config.limits.rooms_per_connection = 5;
    let rooms = crate::support::node_with(config);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let joined: Vec<_> = (0..4).map(|n| rooms.join(&one(&ada), &room(&format!("payment:{n}")))).collect();
    assert_eq!(joined, [1, 1, 0, 0]);
    // What is on its way counts too, and again is not twice.
    assert_eq!(rooms.join(&one(&ada), &room("payment:1")), 1);
    for _ in 0..2 {
        ada.expect("subscribed").await;
    }
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:9"})).await["code"], "TOO_MANY_ROOMS");
    rooms.leave(&one(&ada), &room("payment:0"));
    ada.expect("unsubscribed").await;
    assert_eq!(ada.ask(json!({"type": "subscribe", "room": "payment:9"})).await["type"], "subscribed");
}
