//! Coming, going, and what a slow taker does.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::world::{World, advance, event, good, heard, settle};
use crate::client::{SessionConfig, State, StopReason, Update};
use crate::error::ErrorKind;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn silence_is_death_and_every_sign_of_life_puts_it_off() {
    let world = World::new();
    let mut peer = world.welcomed(json!([])).await;
    // 25 s of the server's and 10 s of ours, anew after each frame; protocol pings count.
    advance(34 * SECOND).await;
    peer.send(json!({"type": "ping"})).await;
    advance(34 * SECOND).await;
    peer.socket.send(Message::Ping(b"x".as_slice().into())).await.unwrap();
    advance(34 * SECOND).await;
    assert!(matches!(world.session.state(), State::Open { .. }));
    advance(SECOND).await;
    let State::Waiting { code, cause, attempt, .. } = world.session.state() else {
        panic!("still open: {:?}", world.session.state());
    };
    assert_eq!((code, attempt), (1006, 0));
    assert!(cause.is_some());
    // The next one lives by its own clock.
    let mut next = world.back().await;
    next.welcome(json!([])).await;
    advance(34 * SECOND).await;
    assert!(matches!(world.session.state(), State::Open { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_on_a_slow_link_is_no_silence() {
    let world = World::new();
    let mut peer = world.welcomed(json!([{"room": "broadcast", "epoch": "e", "offset": 0}])).await;
    let mut news = world.session.subscribe("broadcast").unwrap();
    assert_eq!(heard(&mut news).await.len(), 1);
    let frame =
        json!({"type": "event", "room": "broadcast", "offset": 1, "event": {"id": "big", "type": "t"}});
    let bytes = frame.to_string().into_bytes();
    let mut wire = vec![0x81, 126];
    wire.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
    wire.extend_from_slice(&bytes);
    // One byte every ten seconds: RFC 6455 sets no time for a frame.
    let io = peer.socket.get_mut();
    for byte in wire {
        tokio::io::AsyncWriteExt::write_all(io, &[byte]).await.unwrap();
        advance(10 * SECOND).await;
    }
    assert_eq!(heard(&mut news).await, [json!({"room": "broadcast", "event": "big", "offset": 1})]);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_welcomed_in_ten_seconds_tries_again() {
    let world = World::new();
    let _peer = world.peer().await;
    advance(10 * SECOND - Duration::from_millis(1)).await;
    assert!(matches!(world.session.state(), State::Opening { attempt: 0 }));
    advance(Duration::from_millis(1)).await;
    let _next = world.back().await;
    assert!(matches!(world.session.state(), State::Opening { attempt: 1 }));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_ends_the_connection() {
    let world = World::new();
    let mut peer = world.peer().await;
    let _payment = world.session.subscribe("payment:1").unwrap();
    peer.welcome(json!([])).await;
    assert_eq!(peer.next().await["type"], "subscribe");
    for _ in 0..5 {
        advance(11 * SECOND).await;
        peer.send(json!({"type": "ping"})).await;
    }
    assert!(matches!(world.session.state(), State::Recovering { .. }));
    advance(5 * SECOND).await;
    assert!(matches!(world.session.state(), State::Waiting { code: 1006, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_counts_whatever_the_close_frame_says() {
    let world = World::new();
    let mut peer = world.welcomed(json!([])).await;
    let goodbye = json!({"type": "goodbye", "code": 4200, "reason": "drain", "retryAfterMs": 1234});
    peer.send(goodbye).await;
    assert!(matches!(world.session.state(), State::Waiting { code: 4200, .. }));
    assert_eq!(world.delay(), Duration::from_millis(1234));
    // The old connection hears the close frame out, and the new one does not wait for that.
    let mut next = world.back().await;
    next.welcome(json!([])).await;
    peer.socket.close(None).await.unwrap();
    let echo = peer.next().await;
    assert!(echo["closes"].as_str().unwrap().starts_with("Close"), "{echo}");
    assert!(matches!(world.session.state(), State::Open { .. }));
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_are_counted_until_a_connection_lives_for_a_minute() {
    let world = World::new();
    let mut peer = world.welcomed(json!([])).await;
    for millis in [750, 1_250, 2_250] {
        peer.end(1006).await;
        assert_eq!(world.delay(), Duration::from_millis(millis));
        peer = world.back().await;
        peer.welcome(json!([])).await;
    }
    for _ in 0..3 {
        advance(20 * SECOND).await;
        peer.send(json!({"type": "ping"})).await;
    }
    peer.end(1006).await;
    assert_eq!(world.delay(), Duration::from_millis(750));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_frame_ends_the_connection() {
    let world = World::new();
    let mut peer = world.welcomed(json!([])).await;
    peer.send(json!({"type": "event", "room": "broadcast"})).await;
    let State::Waiting { code: 1006, cause: Some(cause), .. } = world.session.state() else {
        panic!("{:?}", world.session.state());
    };
    assert_eq!(cause.kind(), ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn codes_that_say_so_stop_it() {
    for (code, reason) in [
        (1000, StopReason::Refused),
        (1009, StopReason::Protocol),
        (4001, StopReason::Unauthenticated),
        (4003, StopReason::Forbidden),
        (4004, StopReason::Protocol),
        (4009, StopReason::Revoked),
        (4050, StopReason::Refused),
    ] {
        let world = World::new();
        let peer = world.welcomed(json!([])).await;
        let mut news = world.session.subscribe("broadcast").unwrap();
        settle().await;
        peer.end(code).await;
        let State::Stopped { reason: found, code: Some(by) } = world.session.state() else {
            panic!("{code}: {:?}", world.session.state());
        };
        assert_eq!((found, by), (reason, code));
        assert_eq!(heard(&mut news).await, [json!({"room": "broadcast", "ended": "CLOSED"})], "{code}");
        assert_eq!(news.next().now_or_never(), Some(None));
        // Whoever comes later hears the same.
        let mut late = world.session.subscribe("broadcast").unwrap();
        assert_eq!(heard(&mut late).await, [json!({"room": "broadcast", "ended": "CLOSED"})]);
        let mut all = world.session.subscribe_all();
        assert_eq!(heard(&mut all).await, [json!({"room": null, "ended": "CLOSED"})]);
        assert_eq!(world.session.presence("broadcast").await.unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_the_servers_goodbye_but_not_for_long() {
    for answers in [true, false] {
        let world = World::new();
        let mut peer = world.welcomed(json!([])).await;
        let mut news = world.session.subscribe("broadcast").unwrap();
        assert_eq!(peer.next().await["type"], "subscribe");
        let session = world.session.clone();
        let closing = tokio::spawn(async move { session.close().await });
        assert!(peer.next().await["closes"].as_str().unwrap().starts_with("Close"));
        // Nobody else waits for it.
        assert_eq!(heard(&mut news).await, [json!({"room": "broadcast", "ended": "CLOSED"})]);
        assert!(!closing.is_finished());
        if answers {
            peer.socket.flush().await.unwrap();
            drop(peer);
        } else {
            advance(5 * SECOND - Duration::from_millis(1)).await;
            assert!(!closing.is_finished());
            advance(Duration::from_millis(1)).await;
        }
        settle().await;
        assert!(closing.is_finished());
        let State::Stopped { reason: StopReason::Closed, code: None } = world.session.state() else {
            panic!("{:?}", world.session.state());
        };
        // A second one has nothing to wait for.
        world.session.close().now_or_never().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn close_ends_a_wait_and_an_opening_too() {
    let world = World::new();
    world.welcomed(json!([])).await.end(1006).await;
    assert!(matches!(world.session.state(), State::Waiting { .. }));
    world.session.close().await;
    let world = World::new();
    settle().await;
    let mut peer = world.peer().await;
    tokio::join!(world.session.close(), async { while peer.inbox().await.is_some() {} });
    assert!(world.session.state().is_stopped());
}

#[tokio::test(start_paused = true)]
async fn it_lives_as_long_as_somebody_holds_it() {
    let world = World::new();
    let mut peer = world.welcomed(json!([])).await;
    let news = world.session.subscribe("broadcast").unwrap();
    assert_eq!(peer.next().await["type"], "subscribe");
    let mut states = world.session.states();
    drop(world.session);
    assert_eq!(peer.inbox().await, None, "a subscription holds it");
    drop(news);
    assert!(peer.next().await["closes"].as_str().unwrap().starts_with("Close"));
    drop(peer);
    while let Some(state) = states.next().await {
        println!("{state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscription_misses_and_is_told_and_nobody_else_is() {
    let mut config = SessionConfig::new("ws://test/ws");
    config.queued_updates = 4.try_into().unwrap();
    let world = World::with(config, good);
    let place = json!([{"room": "broadcast", "epoch": "e", "offset": 0}]);
    let mut peer = world.welcomed(place).await;
    let mut slow = world.session.subscribe("broadcast").unwrap();
    let mut quick = world.session.subscribe("broadcast").unwrap();
    let mut all = world.session.subscribe_all();
    let live = json!({"room": "broadcast", "live": 0});
    let number = |n: u64| json!({"room": "broadcast", "event": format!("broadcast#{n}"), "offset": n});
    let mut found = Vec::new();
    for n in 1..=9 {
        peer.send(event("broadcast", n)).await;
        found.extend(heard(&mut quick).await);
    }
    let mut expected = vec![live];
    expected.extend((1..=9).map(number));
    assert_eq!(found, expected);
    // The gap stands where the first of the dropped stood.
    let behind = json!({"room": "broadcast", "gap": "behind"});
    let expected = [behind, number(6), number(7), number(8), number(9)];
    assert_eq!(heard(&mut slow).await, expected);
    assert_eq!(heard(&mut all).await, expected);
    peer.send(event("broadcast", 10)).await;
    assert_eq!(heard(&mut slow).await, [number(10)], "told once");
}

/// Nobody takes anything between two connections: all that a room keeps is there for who looks then.
#[tokio::test(start_paused = true)]
async fn a_whole_recovery_waits_for_its_subscription() {
    let world = World::new();
    let peer = world.welcomed(json!([{"room": "broadcast", "epoch": "e", "offset": 0}])).await;
    let mut news = world.session.subscribe("broadcast").unwrap();
    peer.end(1006).await;
    let mut peer = world.back().await;
    peer.welcome(json!([{"room": "broadcast", "epoch": "e", "offset": 256}])).await;
    let asked = peer.next().await;
    let events: Vec<_> =
        (1..=256).map(|n| json!({"offset": n, "event": {"id": format!("e{n}"), "type": "t"}})).collect();
    peer.send(json!({
        "type": "subscribed", "id": asked["id"], "room": "broadcast", "epoch": "e", "offset": 256,
        "recovered": true, "events": events,
    }))
    .await;
    let heard = heard(&mut news).await;
    assert_eq!((heard.len(), &heard[0]["live"], &heard[257]["live"]), (258, &json!(0), &json!(256)));
    assert!(heard.iter().all(|update| update.get("gap").is_none()));
}

#[tokio::test(start_paused = true)]
async fn who_is_there_is_counted_beyond_those_that_are_listed() {
    let world = World::new();
    let mut peer = world.welcomed(json!([])).await;
    for (total, expected) in [(json!(1_500), 1_500), (json!(null), 1)] {
        let session = world.session.clone();
        let asking = tokio::spawn(async move { session.presence("payment:1").await });
        let asked = peer.next().await;
        let members = json!([{"userId": "ada", "connections": 2}]);
        peer.send(json!({"type": "presence", "id": asked["id"], "room": "payment:1", "members": members, "total": total}))
            .await;
        let there = asking.await.unwrap().unwrap();
        assert_eq!((there.members.len(), there.total), (1, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_read_as_what_is_asked_for_and_none_vanishes() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct News {
        id: String,
        data: u32,
    }
    let world = World::new();
    let mut peer = world.welcomed(json!([{"room": "broadcast", "epoch": "e", "offset": 0}])).await;
    let mut news = world.session.subscribe("broadcast").unwrap().typed::<News>();
    for (n, data) in [(1, json!(7)), (2, json!("seven")), (3, json!(8))] {
        let event = json!({"id": format!("e{n}"), "type": "news", "data": data});
        peer.send(json!({"type": "event", "room": "broadcast", "offset": n, "event": event})).await;
    }
    assert!(matches!(news.next().await, Some(Update::Live { .. })));
    let Some(Update::Event { event, offset: 1, .. }) = news.next().await else { panic!() };
    assert_eq!(event, News { id: "e1".into(), data: 7 });
    let Some(Update::Unreadable { offset: 2, event, error, .. }) = news.next().await else { panic!() };
    assert_eq!(event["data"], "seven");
    assert!(error.contains("u32"), "{error}");
    assert!(matches!(news.next().await, Some(Update::Event { offset: 3, .. })));
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_halfway_leaves_nothing_behind_and_loses_nothing() {
    let world = World::new();
    let mut peer = world.peer().await;
    // A question that is given up before it could be sent is not sent; one that was sent leaves no trace.
    assert!(world.session.presence("payment:1").now_or_never().is_none());
    peer.welcome(json!([{"room": "broadcast", "epoch": "e", "offset": 0}])).await;
    assert_eq!(peer.inbox().await, None);
    let mut asking = Box::pin(world.session.presence("payment:2"));
    assert!(asking.as_mut().now_or_never().is_none());
    let asked = peer.next().await;
    assert_eq!((&asked["type"], &asked["room"]), (&json!("presence"), &json!("payment:2")));
    drop(asking);
    peer.send(json!({"type": "presence", "id": asked["id"], "room": "payment:2", "members": []})).await;
    // Places for a hundred are free again.
    let rooms: Vec<_> = (0..101).map(|n| format!("payment:{n}")).collect();
    let mut waiting: Vec<_> = rooms.iter().map(|room| Box::pin(world.session.presence(room))).collect();
    for question in &mut waiting[..100] {
        assert!(question.as_mut().now_or_never().is_none());
    }
    let full = waiting[100].as_mut().now_or_never().unwrap().unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QueueFull);
    drop(waiting);

    // Updates and states that came while nobody waited.
    let mut news = world.session.subscribe("broadcast").unwrap();
    let mut states = world.session.states();
    assert!(news.next().now_or_never().is_some());
    assert!(news.next().now_or_never().is_none());
    assert!(states.next().now_or_never().is_some());
    assert!(states.next().now_or_never().is_none());
    peer.send(event("broadcast", 1)).await;
    assert_eq!(heard(&mut news).await.len(), 1);
    // `close` that is given up closes all the same.
    assert!(world.session.close().now_or_never().is_none());
    settle().await;
    drop(peer);
    settle().await;
    assert!(world.session.state().is_stopped());
    assert!(matches!(states.next().now_or_never(), Some(Some(State::Stopped { .. }))));
    assert!(matches!(states.next().now_or_never(), Some(None)));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_eight_requests_wait_for_answers() {
    let world = World::new();
    let mut peer = world.welcomed(json!([])).await;
    let rooms: Vec<_> = (0..20).map(|n| format!("payment:{n}")).collect();
    let _subscriptions: Vec<_> = rooms.iter().map(|room| world.session.subscribe(room).unwrap()).collect();
    for _ in 0..3 {
        advance(10 * SECOND).await;
    }
    let mut sent = 0;
    while let Some(frame) = peer.inbox().await {
        assert_eq!(frame["type"], Value::from("subscribe"));
        sent += 1;
    }
    assert_eq!(sent, 8);
}
