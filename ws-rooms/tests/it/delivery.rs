//! One event in several rooms.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use tramline_ws_rooms::{ErrorKind, Publication};

use crate::support::{Peer, node, publication, publish, room};

#[tokio::test(start_paused = true)]
async fn a_connection_gets_the_event_in_its_first_room_and_positions_in_the_others() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    let mut bob = Peer::connect(&rooms, "bob/admin/s2").await;
    ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;

    let to = ["user:ada", "user:cyd", "role:admin", "payment:1"];
    let delivery = rooms.publish(publication(&to, "e1")).await.unwrap();
    assert_eq!((delivery.events, delivery.positions, delivery.dropped), (2, 2, 0));

    let event = ada.expect("event").await;
    assert_eq!(event["room"], "user:ada");
    let moved = ada.expect("position").await;
    assert_eq!(moved, json!({"type": "position", "room": "role:admin", "offset": 1, "id": "e1"}));
    assert_eq!(ada.expect("position").await["room"], "payment:1");
    ada.quiet().await;

    let event = bob.expect("event").await;
    assert_eq!((&event["room"], &event["offset"]), (&json!("role:admin"), &json!(1)));
    bob.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeat_counts_once() {
    // The hub delivers again what was not acknowledged before a crash.
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    publish(&rooms, &["user:ada", "broadcast"], "e1").await;
    publish(&rooms, &["user:ada", "broadcast"], "e1").await;
    publish(&rooms, &["user:ada"], "e2").await;
    assert_eq!(ada.expect("event").await["offset"], 1);
    assert_eq!(ada.expect("position").await["room"], "broadcast");
    let event = ada.expect("event").await;
    assert_eq!((&event["offset"], &event["event"]["id"]), (&json!(2), &json!("e2")));
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_named_twice_counts_once() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    publish(&rooms, &["user:ada", "user:ada"], "e1").await;
    ada.expect("event").await;
    ada.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn events_that_are_none_or_too_large_are_refused() {
    let rooms = node();
    for text in ["", "nonsense", "[1]", "\"text\"", "{\"a\":1} {}"] {
        let error = Publication::new("e", vec![room("broadcast")], text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{text}");
    }
    let bulky = crate::support::bulky(&["broadcast"], "e", 70_000);
    assert_eq!(rooms.publish(bulky).await.unwrap_err().kind(), ErrorKind::TooLarge);
    // Each room once, and as many as there may be.
    let names = |count: usize| (0..count).chain(0..count).map(|number| room(&format!("payment:{number}")));
    assert_eq!(Publication::new("e", names(100).collect(), "{}").unwrap().rooms().len(), 100);
    let error = Publication::new("e", names(101).collect(), "{}").unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::TooManyRooms, false));
    let local = publication(&["system:live"], "e");
    assert_eq!(rooms.publish(local).await.unwrap_err().kind(), ErrorKind::InvalidRoom);
    let shared = publication(&["broadcast"], "e");
    assert_eq!(rooms.publish_local(shared).unwrap_err().kind(), ErrorKind::InvalidRoom);
}

#[tokio::test(start_paused = true)]
async fn local_rooms_have_no_history() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/admin/s1").await;
    let subscribed = ada.ask(json!({"type": "subscribe", "room": "system:live"})).await;
    rooms.publish_local(publication(&["system:live"], "s1")).unwrap();
    let sample = ada.expect("event").await;
    assert_eq!((&sample["offset"], &sample["event"]["id"]), (&json!(1), &json!("s1")));
    let since = json!({"epoch": subscribed["epoch"], "offset": 1});
    let again = ada.ask(json!({"type": "subscribe", "room": "system:live", "since": since})).await;
    assert_eq!((&again["recovered"], &again["reason"]), (&json!(false), &json!("trimmed")));
    assert_eq!(again["events"], json!([]));
    // Nobody there: nothing is kept.
    ada.ask(json!({"type": "unsubscribe", "room": "system:live"})).await;
    let delivery = rooms.publish_local(publication(&["system:live"], "s2")).unwrap();
    assert_eq!(delivery.events, 0);
}

#[tokio::test(start_paused = true)]
async fn nodes_on_one_backplane_share_numbers() {
    let backplane = tramline_ws_rooms::Backplane::memory();
    let node = || {
        tramline_ws_rooms::Rooms::new(
            crate::support::config(),
            crate::support::Gatekeeper::default(),
            backplane.clone(),
        )
    };
    let (east, west) = (node(), node());
    let mut ada = Peer::connect(&east, "ada/customer/s1").await;
    let mut bob = Peer::connect(&west, "bob/customer/s2").await;
    publish(&east, &["broadcast"], "e1").await;
    publish(&west, &["broadcast"], "e2").await;
    for peer in [&mut ada, &mut bob] {
        for (offset, id) in [(1, "e1"), (2, "e2")] {
            let event = peer.expect("event").await;
            assert_eq!((&event["offset"], &event["event"]["id"]), (&json!(offset), &json!(id)));
        }
        peer.quiet().await;
    }
    // A node that is gone takes nothing with it.
    drop(east);
    publish(&west, &["broadcast"], "e3").await;
    assert_eq!(bob.expect("event").await["offset"], 3);
}

/// Many publish to one room at the same time, from several threads: its numbers come in order all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_publishes_at_the_same_time_does_not_overtake() {
    const PUBLISHERS: u64 = 4;
    const EVENTS: u64 = 100;
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    for round in 0..10 {
        let start = Arc::new(Barrier::new(usize::try_from(PUBLISHERS).unwrap()));
        for publisher in 0..PUBLISHERS {
            let (rooms, start) = (rooms.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                for number in 0..EVENTS {
                    publish(&rooms, &["broadcast"], &format!("{round} {publisher} {number}")).await;
                }
            });
        }
        let first = round * PUBLISHERS * EVENTS + 1;
        for offset in first..first + PUBLISHERS * EVENTS {
            assert_eq!(ada.expect("event").await["offset"], offset);
        }
    }
}
