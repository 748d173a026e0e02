//! From the hub into a socket.

use serde_json::json;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{ConsumerConfig, Event, Hub, MemoryConfig, Outcome};
use tramline_ws_rooms::{Bridge, RoomId};

use crate::support::{Peer, node, room};

fn route(event: &Event) -> Vec<RoomId> {
    match event.event_type.as_str() {
        "payments.payment.created" => {
            let data: serde_json::Value = event.data().unwrap();
            ["senderId", "recipientId"]
                .iter()
                .map(|party| room(&format!("user:{}", data[party].as_str().unwrap())))
                .chain([room("role:admin")])
                .collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn an_event_reaches_the_rooms_that_the_route_names() {
    let hub = Hub::memory(MemoryConfig::default());
    let topology = Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("gateway.events"))
        .binding(Binding::new("events", "#", "gateway.events"));
    hub.declare(&topology).await.unwrap();
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut eve = Peer::connect(&rooms, "eve/customer/s2").await;
    let mut root = Peer::connect(&rooms, "root/admin/s3").await;

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let consuming = tokio::spawn({
        let (hub, bridge) = (hub.clone(), Bridge::new(rooms.clone(), route));
        async move {
            let stopped = async { drop(stopped.await) };
            hub.consume("gateway.events", ConsumerConfig::default(), bridge, stopped).await
        }
    });
    let data = json!({"senderId": "ada", "recipientId": "bob", "amount": "12.50"});
    let other = Event::new("payments.other", "payments", &json!({})).unwrap();
    hub.publish(&other).await.unwrap();
    let event = Event::new("payments.payment.created", "payments", &data).unwrap();
    hub.publish(&event).await.unwrap().settled().await.unwrap();

    let frame = ada.expect("event").await;
    assert_eq!((&frame["room"], &frame["event"]["id"]), (&json!("user:ada"), &json!(event.id.as_str())));
    assert_eq!(frame["event"]["data"], data);
    assert_eq!(frame["event"]["specversion"], "1.0");
    assert_eq!(root.expect("event").await["room"], "role:admin");
    eve.quiet().await;
    drop(stop);
    consuming.await.unwrap().unwrap();
}

/// A feed drops what is rejected: the rooms' members must hear that something is missing, now and when they come back.
#[tokio::test(start_paused = true)]
async fn an_event_that_no_room_can_take_leaves_a_gap() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut eve = Peer::connect(&rooms, "eve/customer/s2").await;
    let bridge = Bridge::new(rooms.clone(), route);
    let data = json!({"senderId": "ada", "recipientId": "bob", "note": "x".repeat(70_000)});
    let large = Event::new("payments.payment.created", "payments", &data).unwrap();
    // A redelivery is no second gap.
    for _ in 0..2 {
        assert!(matches!(bridge.carry(&large).await, Outcome::Reject { .. }));
    }
    let gap = ada.expect("gap").await;
    assert_eq!(
        (&gap["room"], &gap["offset"], &gap["reason"]),
        (&json!("user:ada"), &json!(1), &json!("source"))
    );
    ada.quiet().await;
    let since = json!({"epoch": gap["epoch"], "offset": 0});
    let answer = ada.ask(json!({"type": "subscribe", "room": "user:ada", "since": since})).await;
    assert_eq!((&answer["recovered"], &answer["offset"]), (&json!(false), &json!(1)));
    eve.quiet().await;
    let small = json!({"senderId": "ada", "recipientId": "bob"});
    let event = Event::new("payments.payment.created", "payments", &small).unwrap();
    assert!(matches!(bridge.carry(&event).await, Outcome::Ack));
    assert_eq!(ada.expect("event").await["offset"], 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_for_too_many_rooms_leaves_a_gap_in_each() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let many =
        |_: &Event| (0..200).map(|user| room(&format!("user:u{user}"))).chain([room("user:ada")]).collect();
    let bridge = Bridge::new(rooms.clone(), many);
    let event = Event::new("payments.payment.created", "payments", &json!({})).unwrap();
    assert!(matches!(bridge.carry(&event).await, Outcome::Reject { .. }));
    let gap = ada.expect("gap").await;
    assert_eq!((&gap["room"], &gap["reason"]), (&json!("user:ada"), &json!("source")));
}
