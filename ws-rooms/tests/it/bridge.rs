//! From the hub into a socket.

use serde_json::json;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{ConsumerConfig, Event, Hub, MemoryConfig, Outcome};
use tramline_ws_rooms::{Bridge, BridgeRule, Rooms};

use crate::support::{Peer, config, node, node_with, publish};

fn bridge(rooms: &Rooms) -> Bridge {
    let rule = |pattern: &str, rooms: &[&str]| BridgeRule::new(pattern, rooms).unwrap();
    let rules = vec![
        rule("payments.payment.created", &["user:{senderId}", "user:{recipientId}", "role:admin"]),
        // The first that matches counts.
        rule("payments.payment.*", &["broadcast"]),
    ];
    Bridge::new(rooms.clone(), rules)
}

#[tokio::test]
async fn an_event_reaches_the_rooms_that_the_rule_names() {
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
        let (hub, bridge) = (hub.clone(), bridge(&rooms));
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
    let bridge = bridge(&rooms);
    let data = json!({"senderId": "ada", "recipientId": "bob", "note": "x".repeat(70_000)});
    let large = Event::new("payments.payment.created", "payments", &data).unwrap();
    // A redelivery is no second gap.
    for _ in 0..2 {
        assert!(matches!(bridge.carry(&large).await.unwrap(), Outcome::Reject { .. }));
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
    assert!(matches!(bridge.carry(&event).await.unwrap(), Outcome::Ack));
    assert_eq!(ada.expect("event").await["offset"], 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_for_too_many_rooms_leaves_a_gap_in_each() {
    let mut config = config();
    config.limits.connections_per_address = 1_000;
    let rooms = node_with(config);
    let mut users = Vec::new();
    for user in 0..200 {
        users.push(Peer::connect(&rooms, &format!("u{user}/customer/s{user}")).await);
    }
    let many = (0..200).map(|user| format!("user:u{user}"));
    let bridge = Bridge::new(rooms.clone(), vec![BridgeRule::new("#", many).unwrap()]);
    let event = Event::new("payments.payment.created", "payments", &json!({})).unwrap();
    assert!(matches!(bridge.carry(&event).await.unwrap(), Outcome::Reject { .. }));
    for (user, peer) in users.iter_mut().enumerate() {
        let gap = peer.expect("gap").await;
        assert_eq!((&gap["room"], &gap["reason"]), (&json!(format!("user:u{user}")), &json!("source")));
        peer.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_by_the_first_rule_of_its_type() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let bridge = bridge(&rooms);
    let data = json!({"senderId": "bob", "recipientId": "bob"});
    for (name, expected) in [
        ("payments.payment.created", vec!["user:bob", "user:bob", "role:admin"]),
        ("payments.payment.failed", vec!["broadcast"]),
        ("payments.other", vec![]),
    ] {
        let event = Event::new(name, "payments", &data).unwrap();
        let rooms: Vec<_> = bridge.rooms_of(&event).iter().map(ToString::to_string).collect();
        assert_eq!(rooms, expected);
        assert!(matches!(bridge.carry(&event).await.unwrap(), Outcome::Ack));
    }
    assert_eq!(ada.expect("event").await["event"]["type"], "payments.payment.failed");
    ada.quiet().await;
}

/// The feed says that it has lost its place before it brings what follows; nobody may take that for what came next.
#[tokio::test(start_paused = true)]
async fn a_lost_source_is_told_before_what_follows() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let bridge = bridge(&rooms);
    publish(&rooms, &["user:ada"], "before").await;
    ada.expect("event").await;
    bridge.lose_source();
    let data = json!({"senderId": "ada", "recipientId": "bob"});
    let event = Event::new("payments.payment.created", "payments", &data).unwrap();
    assert!(matches!(bridge.carry(&event).await.unwrap(), Outcome::Ack));
    let mut of_ada = Vec::new();
    ada.frame_until_pong(&mut of_ada).await;
    let frames: Vec<_> =
        of_ada.iter().map(|frame| (frame["type"].clone(), frame["offset"].clone())).collect();
    assert_eq!(frames, [(json!("gap"), json!(0)), (json!("event"), json!(1))]);
}

/// And when nothing follows, too.
#[tokio::test(start_paused = true)]
async fn a_lost_source_is_told_though_nothing_follows() {
    let rooms = node();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let bridge = bridge(&rooms);
    bridge.lose_source();
    for _ in 0..3 {
        assert_eq!(ada.expect("gap").await["reason"], "source");
    }
    ada.quiet().await;
}
