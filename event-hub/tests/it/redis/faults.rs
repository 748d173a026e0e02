//! A Redis that is killed, cut off, or falls silent.

use std::collections::BTreeMap;

use devkit::{Fault, Redis};
use tramline_event_hub::health::BreakerState;
use tramline_event_hub::redis::MirrorConfig;
use tramline_event_hub::{AmqpConfig, Hub};

use crate::redis::{Listener, Log, Place, next, number, open, open_impatient, say, seen};
use crate::support::{name, until};

async fn own_redis() -> Option<Redis> {
    // Asked first, so that one that is missing is told as everywhere.
    devkit::engines::redis().await?;
    Some(Redis::start().await.unwrap())
}

async fn on_rabbitmq() -> Option<Place> {
    let url = devkit::engines::fresh_vhost().await?;
    let mut config = AmqpConfig::default();
    config.backoff_max = std::time::Duration::from_millis(200);
    Some(Place::on(Hub::amqp(&url, config).unwrap(), &name()).await)
}

fn is_paused(place: &Place) -> bool {
    place.hub.health().consumers.iter().any(|consumer| consumer.breaker != BreakerState::Closed)
}

/// Killed with an event on its way to it. The hub confirms as ever; a listener that is there before the mirror has
/// Redis back hears everything that it had not, in order, and nothing became a dead letter.
#[tokio::test]
async fn a_killed_redis_gets_every_event_when_it_is_back() {
    let Some(redis) = own_redis().await else { return };
    let Some(place) = on_rabbitmq().await else { return };
    let (fault, through) = Fault::in_front_of(&redis.url()).await.unwrap();
    let mut listener = Listener::of(&redis.url(), &place.channel("*")).await;
    let mirror = place.mirror(&open_impatient(&through), MirrorConfig::default());
    let publish = async |numbers: std::ops::Range<usize>| {
        for answer in place.hub.publish_all(numbers.map(|n| place.event("placed", n)).collect()).await {
            answer.unwrap();
        }
    };
    publish(0..50).await;
    assert_eq!(listener.numbers(50).await, (0..50).collect::<Vec<_>>());

    fault.half_open();
    publish(50..60).await;
    until("the mirror to notice", || is_paused(&place)).await;
    redis.kill().await;
    fault.cut();
    publish(60..120).await;
    assert!(place.hub.health().ready(), "a pause is no reason to take nothing");
    redis.restart().await.unwrap();
    let mut listener = Listener::of(&redis.url(), &place.channel("*")).await;
    fault.heal();
    let mut heard = Vec::new();
    while heard.last() != Some(&119) {
        heard.extend(listener.numbers(1).await);
    }
    // The last before the silence goes out again where its answer fell into it.
    heard.retain(|n| *n >= 50);
    assert_eq!(heard, (50..120).collect::<Vec<_>>());
    until("the end of the pause", || !is_paused(&place)).await;
    mirror.stop().await.unwrap();
    assert_eq!((place.waiting("mirror").await, place.waiting("dlq").await), (0, 0));
    place.hub.shutdown().await;
}

/// Brokers count what goes back as a delivery, and give up at twenty. The mirror's queue has no such limit, and the
/// mirror does not take it for poison either, however many processes have held it while Redis was away.
#[tokio::test]
async fn many_starts_without_redis_make_no_dead_letter() {
    let Some(url) = devkit::engines::redis().await else { return };
    let Some(place) = on_rabbitmq().await else { return };
    place.hub.publish(&place.event("placed", 7)).await.unwrap();
    for _ in 0..23 {
        let mirror = place.mirror(&open("redis://127.0.0.1:1"), MirrorConfig::default());
        until("a try", || is_paused(&place)).await;
        mirror.stop().await.unwrap();
    }
    let mut listener = Listener::of(url, &place.channel("*")).await;
    let mirror = place.mirror(&open(url), MirrorConfig::default());
    assert_eq!(listener.numbers(1).await, [7]);
    mirror.stop().await.unwrap();
    assert_eq!((place.waiting("mirror").await, place.waiting("dlq").await), (0, 0));
    place.hub.shutdown().await;
}

/// Beside each other, and cut off again and again: each key's events come in their order, repeats aside.
#[tokio::test]
async fn the_order_of_each_key_survives_cuts() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = Place::memory().await;
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut listener = Listener::of(url, &place.channel("*")).await;
    let mut config = MirrorConfig::default();
    config.concurrency = 8;
    let mirror = place.mirror(&open(&through), config);
    let keys = ["a", "b", "c", "d", "e"];
    let events = (0..1000).map(|n| place.event(keys[n % 5], n).with_partition_key(keys[n % 5])).collect();
    place.hub.publish_all(events).await;
    let mut heard: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut count = 0;
    while heard.values().map(Vec::len).sum::<usize>() < 1000 {
        let (channel, body) = listener.next().await;
        let n = body["data"]["n"].as_u64().unwrap();
        let of_key = heard.entry(channel).or_default();
        if !of_key.contains(&n) {
            of_key.push(n);
        }
        count += 1;
        if count % 150 == 0 {
            fault.cut_once();
        }
    }
    assert!(heard.len() == 5 && heard.values().all(|numbers| numbers.is_sorted()), "{heard:?}");
    mirror.stop().await.unwrap();
    assert_eq!(place.waiting("dlq").await, 0);
}

/// However the subscription ends, it is made again; that there was a hole is counted, logged, and seen.
#[tokio::test]
async fn a_lost_subscription_is_told_and_made_again() {
    let Some(redis) = own_redis().await else { return };
    let (log, _subscriber) = Log::start();
    let place = Place::memory().await;
    let (fault, through) = Fault::in_front_of(&redis.url()).await.unwrap();
    let (bridge, mut monitor) = place.bridge(&open_impatient(&through)).await;
    let (work, mut events) = place.work();
    for gaps in 1..=3 {
        match gaps {
            1 => fault.cut(),
            2 => fault.half_open(),
            _ => redis.kill().await,
        }
        let status = seen(&mut monitor, |status| !status.attached && status.gaps == gaps).await;
        assert!(!status.ready());
        match gaps {
            1 | 2 => fault.heal(),
            _ => redis.restart().await.unwrap(),
        }
        seen(&mut monitor, |status| status.attached).await;
        say(&redis.url(), &place.channel("a"), format!(r#"{{"n":{gaps}}}"#)).await;
        assert_eq!(number(&next(&mut events).await), gaps);
    }
    let status = seen(&mut monitor, |status| status.published == 3).await;
    assert_eq!((status.gaps, status.last_error), (3, None));
    assert_eq!(log.lines(&["ERROR", "the subscription is lost"]), 3);
    assert_eq!(log.lines(&["WARN", "subscribed again", "missed"]), 3);
    bridge.stop().await.unwrap();
    work.stop().await.unwrap();
}
