//! Out: the mirror.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::json;
use tramline_event_hub::redis::{Mapping, MirrorConfig, Outgoing, PubSub, PubSubConfig};
use tramline_event_hub::schema::Upcasts;
use tramline_event_hub::topology::{Exchange, Queue, Topology};
use tramline_event_hub::{ErrorKind, Event, Hub, MemoryConfig};

use crate::redis::{Listener, Place, hasty, open};
use crate::support::{soon, until};

/// Whatever the types, in the order of their publishing, as a listener of patterns has it from one sender.
#[tokio::test]
async fn events_reach_old_listeners_in_their_order() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = Place::memory().await;
    let mut listener = Listener::of(url, &place.channel("*")).await;
    let mirror = place.mirror(&open(url), MirrorConfig::default());
    let names = ["placed", "paid", "shipped"];
    let events: Vec<_> = (0..300).map(|n| place.event(names[n % 3], n).with_correlation("c")).collect();
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    assert!(place.hub.publish_all(events).await.iter().all(Result::is_ok));
    for (n, id) in ids.iter().enumerate() {
        let (channel, body) = listener.next().await;
        let event = Event::from_json(body.to_string().as_bytes()).unwrap();
        assert_eq!((channel, &event.id), (place.channel(names[n % 3]), id));
        assert_eq!((body["correlationid"].as_str(), &body["data"]), (Some("c"), &json!({ "n": n })));
    }
    mirror.stop().await.unwrap();
    assert_eq!(place.waiting("mirror").await, 0);
}

/// The envelope of the system that this one replaces, to the letter.
#[tokio::test]
async fn one_line_serves_listeners_of_another_form() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = Place::memory().await;
    let mut listener = Listener::of(url, &place.channel("*").replace('.', ":")).await;
    let mut config = hasty();
    config.mapping =
        Mapping::base_event().with_channels(|name| name.replace('.', ":"), |name| name.replace(':', "."));
    let mirror = place.mirror(&PubSub::new(url, config).unwrap(), MirrorConfig::default());
    let event = place.event("user.created", 1).with_correlation("c").with_causation("d");
    place.hub.publish(&event).await.unwrap();
    let (channel, body) = listener.next().await;
    assert_eq!(channel, place.channel("user.created").replace('.', ":"));
    let expected = json!({
        "id": event.id.as_str(), "type": channel, "version": "1.0", "timestamp": event.time.to_string(),
        "source": "new", "correlationId": "c", "causationId": "d", "data": { "n": 1 }, "redisvia": "tramline",
    });
    assert_eq!(body, expected);
    mirror.stop().await.unwrap();
}

/// One that has no message is a dead letter; those after it go out, and one that is not wanted there goes nowhere.
#[tokio::test]
async fn an_event_without_a_message_holds_up_nobody() {
    let Some(url) = devkit::engines::redis().await else { return };
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let place = Place::memory().await;
    let mut listener = Listener::of(url, &place.channel("heard")).await;
    let mut config = hasty();
    config.name = "numbers".to_owned();
    config.mapping = Mapping::default().with_out(|event| match event.event_type.rsplit('.').next() {
        Some("bad") => Ok(Some(Outgoing::object("x", &[1])?)),
        Some("private") => Ok(None),
        _ => Ok(Some(Outgoing::event(event.event_type.clone(), event))),
    });
    let mirror = place.mirror(&PubSub::new(url, config).unwrap(), MirrorConfig::default());
    for name in ["bad", "private", "unheard", "heard"] {
        place.hub.publish(&place.event(name, 0)).await.unwrap();
    }
    assert_eq!(listener.next().await.0, place.channel("heard"));
    assert_eq!(place.waiting("dlq").await, 1);
    mirror.stop().await.unwrap();
    let counts: BTreeMap<_, _> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(key, ..)| key.key().name() == "event_hub.redis.mirrored")
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            (labels.join(" "), value)
        })
        .collect();
    for (outcome, count) in [("heard", 1), ("unheard", 1), ("passed_over", 1), ("echo", 0)] {
        assert_eq!(counts[&format!("numbers {outcome}")], DebugValue::Counter(count), "{outcome}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_refused() {
    for url in ["", "localhost", "http://localhost", "redis://"] {
        let error = PubSub::new(url, PubSubConfig::default()).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(error.to_string().contains("the URL of Redis"), "{error}");
    }
    let mut config = PubSubConfig::default();
    config.name = "two words".to_owned();
    assert_eq!(PubSub::new("redis://localhost", config).unwrap_err().kind(), ErrorKind::Config);
    let secret = PubSub::new("redis://user:secret@localhost", PubSubConfig::default()).unwrap();
    assert!(!format!("{secret:?}").contains("secret"));

    let hub = Hub::memory(MemoryConfig::default());
    let topology = Topology::new()
        .exchange(Exchange::direct("dlx"))
        .queue(PubSub::queue("limited", "dlx", "k").with_delivery_limit(Some(20)))
        .queue(Queue::quorum("without"));
    hub.declare(&topology).await.unwrap();
    for (queue, why) in [("limited", "limit of deliveries"), ("without", "no dead letters")] {
        let ended = secret.mirror(&hub, queue, MirrorConfig::default(), std::future::pending());
        let error = soon("a refusal", ended).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(why), "{error}");
    }
    let ended = secret.mirror(&hub, "nowhere", MirrorConfig::default(), std::future::pending());
    assert_eq!(soon("a refusal", ended).await.unwrap_err().kind(), ErrorKind::UnknownQueue);
}

/// Old listeners know the version that their sender knows, not the one that this hub's handlers know.
#[tokio::test]
async fn events_go_out_in_the_version_they_came_in() {
    let Some(url) = devkit::engines::redis().await else { return };
    let prefix = crate::support::name();
    let mut config = MemoryConfig::default();
    let kind = format!("{prefix}.placed");
    config.hub.upcasts = Upcasts::new().step(&kind, 1, |_: serde_json::Value| json!({ "n": "new" }));
    let place = Place::on(Hub::memory(config), &prefix).await;
    let mut listener = Listener::of(url, &place.channel("*")).await;
    let mirror = place.mirror(&open(url), MirrorConfig::default());
    for version in [1, 2, 9] {
        place.hub.publish(&place.event("placed", 5).with_version(version)).await.unwrap();
        let body = listener.next().await.1;
        assert_eq!((&body["dataversion"], &body["data"]), (&json!(version), &json!({ "n": 5 })));
    }
    mirror.stop().await.unwrap();
    assert_eq!(place.waiting("dlq").await, 0);
}

/// A mirror that stops has had its answers: nothing goes out twice, nothing stays.
#[tokio::test]
async fn a_drained_mirror_leaves_the_rest_in_its_queue() {
    let Some(url) = devkit::engines::redis().await else { return };
    let place = Place::memory().await;
    let mut listener = Listener::of(url, &place.channel("*")).await;
    place.hub.publish_all((0..500).map(|n| place.event("placed", n)).collect()).await;
    let mirror = place.mirror(&open(url), MirrorConfig::default());
    let mut heard = listener.numbers(10).await;
    mirror.stop().await.unwrap();
    let mirror = place.mirror(&open(url), MirrorConfig::default());
    heard.extend(listener.numbers(490).await);
    assert_eq!(heard, (0..500).collect::<Vec<_>>());
    until("nothing waits", || {
        place.hub.queues().iter().all(|q| q.name != place.queue("mirror") || q.messages == 0)
    })
    .await;
    mirror.stop().await.unwrap();
}
