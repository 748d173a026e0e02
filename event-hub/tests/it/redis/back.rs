//! Back: the bridge.

use serde_json::{Value, json};
use tramline_event_hub::redis::{BridgeConfig, Mapping, PubSub};
use tramline_event_hub::{Error, ErrorKind, Event};

use crate::redis::{Log, Place, hasty, next, number, open, say, seen};
use crate::support::soon;

#[tokio::test]
async fn messages_of_old_senders_become_events() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = Place::memory().await;
    let (bridge, mut monitor) = place.bridge(&open(url)).await;
    let (work, mut events) = place.work();
    // Any JSON is data; its digits stay as they are.
    say(url, &place.channel("stock"), r#"{"price": 1.10, "id": 7}"#).await;
    let event = next(&mut events).await;
    assert_eq!(
        (event.event_type.as_str(), event.source.as_str()),
        (place.channel("stock").as_str(), "redis")
    );
    assert_eq!(event.data.get(), r#"{"price": 1.10, "id": 7}"#);
    assert_ne!(event.id.as_str(), "7", "the id of a thing is not that of the news about it");
    // An event is what it says.
    let sent = place.event("order.placed", 3).with_partition_key("k").with_extension("tenant", "t").unwrap();
    say(url, &place.channel("any"), sent.to_json()).await;
    let event = next(&mut events).await;
    assert_eq!((event.id, event.event_type, event.time), (sent.id, sent.event_type, sent.time));
    assert_eq!(event.partition_key.as_deref(), Some("k"));
    assert_eq!(event.extensions.get("tenant").unwrap().as_text(), Some("t"));
    let status = seen(&mut monitor, |status| status.published == 2).await;
    assert_eq!((status.waiting, status.malformed), (0, 0));
    bridge.stop().await.unwrap();
    work.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_event_is_refused_aloud_and_the_bridge_goes_on() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (log, _subscriber) = Log::start();
    let place = Place::memory().await;
    let mut config = hasty();
    config.mapping = Mapping::default().with_back(|incoming| {
        let text = std::str::from_utf8(incoming.body)?;
        assert!(text != "\"panic\"", "on purpose");
        match text {
            "\"unwanted\"" => Ok(None),
            _ if text.starts_with('{') => Ok(Some(Event::from_json(incoming.body)?)),
            _ => Ok(Some(Event::new(incoming.channel, "old", &serde_json::from_str::<Value>(text)?)?)),
        }
    });
    let (bridge, mut monitor) = place.bridge(&PubSub::new(url, config).unwrap()).await;
    let (work, mut events) = place.work();
    let channel = place.channel("a");
    let long = format!("{}{}", "x".repeat(256), "beyond");
    for body in ["hello", r#"{"specversion":"1.0"}"#, "\"panic\"", "", &long] {
        say(url, &channel, body).await;
    }
    say(url, &channel, [0xff, b'0']).await;
    say(url, &place.channel(&"t".repeat(250)), "1").await;
    say(url, &channel, "\"unwanted\"").await;
    say(url, &channel, r#"{"n":1}"#).await;
    say(url, &channel, "5").await;
    assert_eq!(next(&mut events).await.data.get(), "5");
    let status = seen(&mut monitor, |status| status.published == 1).await;
    assert_eq!((status.malformed, status.passed_over, status.waiting), (8, 1, 0));
    assert_eq!(log.lines(&["refused", "ERROR"]), 8);
    assert_eq!(log.lines(&["refused", "beginning=hello", &channel]), 1);
    assert_eq!(log.lines(&["on purpose", "refused"]), 1);
    assert_eq!(log.lines(&["beyond"]), 0, "only the beginning");
    bridge.stop().await.unwrap();
    work.stop().await.unwrap();
}

/// Redis sends a message once for each subscription that fits. The same words twice are two messages all the same.
#[tokio::test]
async fn several_subscriptions_bring_a_message_once() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = Place::memory().await;
    let mut config = BridgeConfig::patterns([place.channel("*"), place.channel("a*"), place.channel("?")]);
    config.channels = vec![place.channel("a"), place.channel("b")];
    let (bridge, mut monitor) = place.bridge_with(&open(url), config).await;
    let (work, mut events) = place.work();
    for name in ["a", "a", "b", "c", "a", "ax", "ax", "b"] {
        say(url, &place.channel(name), "1").await;
        assert_eq!(next(&mut events).await.event_type, place.channel(name));
    }
    say(url, &place.channel("end"), "1").await;
    assert_eq!(next(&mut events).await.event_type, place.channel("end"));
    let status = seen(&mut monitor, |status| status.waiting == 0).await;
    assert_eq!(status.published, 9);
    bridge.stop().await.unwrap();
    work.stop().await.unwrap();
}

/// Pub/Sub gives both processes each message; the id that is in it is what makes one event of them.
#[tokio::test]
async fn two_processes_bring_one_event_twice_under_its_id() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = Place::memory().await;
    let mut config = hasty();
    config.mapping = Mapping::base_event();
    let redis = || PubSub::new(url, config.clone()).unwrap();
    let (one, _) = place.bridge(&redis()).await;
    let (two, _) = place.bridge(&redis()).await;
    let (work, mut events) = place.work();
    let body = json!({
        "id": "5f0c", "type": place.channel("user.created"), "version": "2.1", "source": "auth",
        "timestamp": "2025-11-26T01:02:03.004Z", "correlationId": "c", "data": { "n": 1 }, "metadata": { "userId": "u" },
    });
    assert_eq!(say(url, &place.channel("user.created"), body.to_string()).await, 2);
    for _ in 0..2 {
        let event = next(&mut events).await;
        assert_eq!((event.id.as_str(), event.source.as_str(), event.data_version), ("5f0c", "auth", 2));
        assert_eq!((event.event_type.as_str(), number(&event)), (place.channel("user.created").as_str(), 1));
        assert_eq!(event.time.to_string(), "2025-11-26T01:02:03.004Z");
        assert_eq!(event.correlation_id.as_deref(), Some("c"));
        assert_eq!(event.extensions.get("metadata").unwrap().as_text(), Some(r#"{"userId":"u"}"#));
    }
    one.stop().await.unwrap();
    two.stop().await.unwrap();
    work.stop().await.unwrap();
}

#[tokio::test]
async fn a_bridge_needs_something_to_hear_and_room_for_it() {
    let place = Place::memory().await;
    let redis = open("redis://localhost:1");
    let refused = |config: BridgeConfig| redis.bridge(&place.hub, config).unwrap_err().kind();
    assert_eq!(refused(BridgeConfig::default()), ErrorKind::Config);
    for spoil in [
        |config: &mut BridgeConfig| config.buffer = 0,
        |config: &mut BridgeConfig| config.buffer_bytes = 0,
        |config: &mut BridgeConfig| config.batch = 0,
    ] {
        let mut config = BridgeConfig::channels(["a"]);
        spoil(&mut config);
        assert_eq!(refused(config), ErrorKind::Config);
    }
    // A hub that is shut down ends it, though Redis was never there.
    let bridge = redis.bridge(&place.hub, BridgeConfig::channels(["a"])).unwrap();
    let run = tokio::spawn(bridge.run(std::future::pending()));
    place.hub.shutdown().await;
    let ended: Result<(), Error> = soon("its end", run).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
}
