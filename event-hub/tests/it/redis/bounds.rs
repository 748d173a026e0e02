//! Back, with a hub that is slow, not ready, or away, and at the end.

use std::time::Duration;

use devkit::Fault;
use tramline_event_hub::config::QueueCapacity;
use tramline_event_hub::redis::BridgeConfig;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, Hub, MemoryConfig};

use crate::redis::{Log, Place, next, number, open, say, seen};
use crate::support::{name, soon};

/// A hub whose queue has room for one event until somebody takes it.
async fn full() -> Place {
    let mut config = MemoryConfig::default();
    config.queue_capacity = QueueCapacity(1);
    config.hub.publish_timeout = Duration::from_millis(50);
    let place = Place { prefix: name(), hub: Hub::memory(config) };
    let topology = Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum(place.queue("work")))
        .binding(Binding::new("events", place.channel("#"), place.queue("work")));
    place.hub.declare(&topology).await.unwrap();
    place
}

fn small(place: &Place) -> BridgeConfig {
    let mut config = BridgeConfig::patterns([place.channel("*")]);
    config.batch = 1;
    config.drain_timeout = Duration::from_millis(200);
    config
}

/// What finds no room is counted and told; what found some arrives, in its order, once the hub takes it.
#[tokio::test]
async fn a_slow_hub_loses_what_is_beyond_the_bound_and_says_so() {
    let Some(url) = devkit::engines::redis().await else { return };
    let bounds: [fn(&mut BridgeConfig); 2] =
        [|config| config.buffer = 5, |config| config.buffer_bytes = 6 * r#"{"n":10}"#.len()];
    for bound in bounds {
        let (log, _subscriber) = Log::start();
        let place = full().await;
        let mut config = small(&place);
        bound(&mut config);
        let (bridge, mut monitor) = place.bridge_with(&open(url), config).await;
        for n in 10..50 {
            say(url, &place.channel("a"), format!(r#"{{"n":{n}}}"#)).await;
        }
        let status =
            seen(&mut monitor, |s| s.published + s.waiting + s.overflow == 40 && s.overflow > 0).await;
        assert!((33..=35).contains(&status.overflow), "{status:?}");
        assert_eq!(status.published, 1);
        assert!(log.lines(&["ERROR", "messages are lost"]) >= 5, "at 1, 2, 4, 8, 16 and 32");

        let (work, mut events) = place.work();
        let kept = 40 - status.overflow;
        let mut numbers = Vec::new();
        for _ in 0..kept {
            numbers.push(number(&next(&mut events).await));
        }
        assert!(numbers.is_sorted() && numbers[..5] == [10, 11, 12, 13, 14], "{numbers:?}");
        // There is room again.
        let status = seen(&mut monitor, |status| status.waiting == 0).await;
        assert_eq!(status.published, kept);
        say(url, &place.channel("a"), r#"{"n":99}"#).await;
        assert_eq!(number(&next(&mut events).await), 99);
        let lost = format!("lost={}", status.overflow);
        assert_eq!(log.lines(&["ERROR", "there is room again", &lost]), 1);
        bridge.stop().await.unwrap();
        work.stop().await.unwrap();
    }
}

/// What has come is published before the end, that included which nobody had read yet.
#[tokio::test]
async fn a_drain_publishes_what_has_come() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = full().await;
    let mut config = small(&place);
    config.drain_timeout = crate::support::SOON;
    let (bridge, mut monitor) = place.bridge_with(&open(url), config).await;
    for n in 0..10 {
        say(url, &place.channel("a"), format!(r#"{{"n":{n}}}"#)).await;
    }
    // The bridge, on this very thread, does nothing until the end.
    let mut connection = ::redis::Client::open(url).unwrap().get_connection().unwrap();
    for n in 10..20 {
        let mut publish = ::redis::cmd("PUBLISH");
        publish.arg(place.channel("a")).arg(format!(r#"{{"n":{n}}}"#)).exec(&mut connection).unwrap();
    }
    bridge.stop.cancel();
    let left = seen(&mut monitor, |status| !status.attached).await;
    assert_eq!(left.published + left.waiting, 20, "{left:?}");
    let (work, mut events) = place.work();
    for n in 0..20 {
        assert_eq!(number(&next(&mut events).await), n);
    }
    bridge.stop().await.unwrap();
    let status = monitor.status();
    assert_eq!((status.published, status.waiting, status.abandoned), (20, 0, 0));
    assert_eq!(say(url, &place.channel("a"), "1").await, 0, "nobody listens any more");
    work.stop().await.unwrap();
}

/// The deadline ends it all the same, and what is left is told; so is what a dropped bridge leaves.
#[tokio::test]
async fn what_a_bridge_leaves_is_counted_and_told() {
    let Some(url) = devkit::engines::redis().await else { return };
    for drop_it in [false, true] {
        let (log, _subscriber) = Log::start();
        let place = full().await;
        let (bridge, mut monitor) = place.bridge_with(&open(url), small(&place)).await;
        for n in 0..20 {
            say(url, &place.channel("a"), format!(r#"{{"n":{n}}}"#)).await;
        }
        seen(&mut monitor, |status| status.published == 1 && status.waiting == 19).await;
        if drop_it {
            bridge.task.abort();
            assert!(soon("its end", bridge.task).await.unwrap_err().is_cancelled());
        } else {
            bridge.stop().await.unwrap();
        }
        let status = monitor.status();
        assert_eq!((status.published, status.waiting, status.abandoned), (1, 0, 19), "{status:?}");
        assert_eq!(log.lines(&["ERROR", "the bridge ends", "left=19"]), 1);
    }
}

/// Nobody has declared anything yet: messages wait for the exchange. A queue that wants them is another matter.
#[tokio::test]
async fn messages_wait_for_the_exchange_and_not_for_a_queue() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (log, _subscriber) = Log::start();
    let place = Place { prefix: name(), hub: Hub::memory(MemoryConfig::default()) };
    let (bridge, mut monitor) = place.bridge(&open(url)).await;
    say(url, &place.channel("a"), r#"{"n":1}"#).await;
    let status = seen(&mut monitor, |status| status.last_error.is_some()).await;
    assert_eq!((status.waiting, status.returned), (1, 0));
    place.hub.declare(&place.topology(place.mirror_queue())).await.unwrap();
    let (work, mut events) = place.work();
    assert_eq!(number(&next(&mut events).await), 1);
    seen(&mut monitor, |status| status.published == 1 && status.last_error.is_none()).await;
    work.stop().await.unwrap();
    bridge.stop().await.unwrap();

    let mut config = BridgeConfig::patterns([place.channel("*"), format!("{}-*", place.prefix)]);
    config.batch = 8;
    let (bridge, mut monitor) = place.bridge_with(&open(url), config).await;
    let (work, mut events) = place.work();
    say(url, &format!("{}-unwanted", place.prefix), "1").await;
    say(url, &place.channel("a"), r#"{"n":2}"#).await;
    assert_eq!(number(&next(&mut events).await), 2);
    let status = seen(&mut monitor, |status| status.waiting == 0).await;
    assert_eq!((status.returned, status.published), (1, 1));
    assert_eq!(log.lines(&["ERROR", "no queue wants", "312"]), 1);
    bridge.stop().await.unwrap();
    work.stop().await.unwrap();
}

/// It would hold up all that comes after it, for ever.
#[tokio::test]
async fn what_is_too_large_for_the_hub_is_told_and_holds_up_nobody() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (log, _subscriber) = Log::start();
    let mut config = MemoryConfig::default();
    config.hub.max_body = 1000;
    let place = Place::on(Hub::memory(config), &name()).await;
    let (work, mut events) = place.work();
    let (bridge, mut monitor) = place.bridge(&open(url)).await;
    say(url, &place.channel("a"), format!(r#"{{"n":1,"text":"{}"}}"#, "x".repeat(2000))).await;
    say(url, &place.channel("a"), r#"{"n":2}"#).await;
    assert_eq!(number(&next(&mut events).await), 2);
    let status = seen(&mut monitor, |status| status.waiting == 0).await;
    assert_eq!((status.returned, status.published), (1, 1), "{status:?}");
    assert_eq!(log.lines(&["ERROR", "too large for the hub", "1000 is the most"]), 1);
    bridge.stop().await.unwrap();
    work.stop().await.unwrap();
}

/// RabbitMQ away, in the middle of it: what comes meanwhile waits, and arrives.
#[tokio::test]
async fn a_broker_that_is_away_loses_nothing() {
    let Some(url) = devkit::engines::redis().await else { return };
    let Some(amqp) = devkit::engines::fresh_vhost().await else { return };
    let (fault, through) = Fault::in_front_of(&amqp).await.unwrap();
    let mut config = AmqpConfig::default();
    config.hub.publish_timeout = Duration::from_secs(1);
    config.backoff_max = Duration::from_millis(200);
    let place = Place::on(Hub::amqp(&through, config).unwrap(), &name()).await;
    let (bridge, mut monitor) = place.bridge(&open(url)).await;
    say(url, &place.channel("a"), r#"{"n":0}"#).await;
    seen(&mut monitor, |status| status.published == 1).await;
    fault.cut();
    for n in 1..60 {
        say(url, &place.channel("a"), format!(r#"{{"n":{n}}}"#)).await;
    }
    let status = seen(&mut monitor, |status| status.last_error.is_some()).await;
    assert!(status.attached && status.overflow == 0, "{status:?}");
    fault.heal();
    seen(&mut monitor, |status| status.published == 60).await;
    let (work, mut events) = place.work();
    let mut numbers = std::collections::BTreeSet::new();
    // One whose confirm was lost may be there twice.
    while numbers.len() < 60 {
        numbers.insert(number(&next(&mut events).await));
    }
    work.stop().await.unwrap();
    bridge.stop().await.unwrap();
    assert_eq!(monitor.status().abandoned, 0);
    place.hub.shutdown().await;
}
