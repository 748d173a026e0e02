//! Spans and metrics, as an application's subscriber and recorder see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::json;
use tokio::sync::oneshot;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};
use tramline_event_hub::config::SpanHook;
use tramline_event_hub::dead_letters::DrainConfig;
use tramline_event_hub::redis::{BridgeConfig, MirrorConfig, PubSub, PubSubConfig};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{
    AmqpConfig, ConsumerConfig, Context, Event, EventId, Hub, MemoryConfig, Outcome, RetryPolicy,
};

use crate::database::Database;
use crate::dead_letters::Bed;
use crate::support::soon;

fn topology(prefix: &str) -> Topology {
    let (events, dlx) = (format!("{prefix}.events"), format!("{prefix}.dlx"));
    let (work, dlq) = (format!("{prefix}.work"), format!("{prefix}.dlq"));
    Topology::new()
        .exchange(Exchange::topic(&events))
        .exchange(Exchange::direct(&dlx))
        .queue(Queue::quorum(&dlq))
        .binding(Binding::new(&dlx, "dead-letter", &dlq))
        .queue(Queue::quorum(&work).with_dead_letter(&dlx, "dead-letter"))
        .binding(Binding::new(&events, "work.#", &work))
        .queue(PubSub::queue(format!("{prefix}.mirror"), &dlx, "dead-letter"))
}

fn memory(prefix: &str, hook: Option<SpanHook>) -> Hub {
    let mut config = MemoryConfig::default();
    config.hub.exchange = format!("{prefix}.events");
    config.hub.join_trace = hook;
    Hub::memory(config)
}

fn event(kind: &str) -> Event {
    Event::new(kind, "telemetry", &json!({})).unwrap()
}

/// Handles until so many calls were made.
async fn handle(
    hub: &Hub,
    queue: &str,
    calls: usize,
    answer: impl Fn(Context) -> Outcome + Send + Sync + 'static,
) {
    let (stop, stopped) = oneshot::channel::<()>();
    let state = Mutex::new((calls, Some(stop)));
    let handler = move |_: Event, cx: Context| {
        let mut state = state.lock().unwrap();
        state.0 -= 1;
        if state.0 == 0 {
            state.1.take();
        }
        let answer = answer(cx);
        async move { answer }
    };
    let mut config = ConsumerConfig::default();
    config.name = Some("worker".to_owned());
    config.retry = RetryPolicy::default();
    config.retry.max_attempts = 2;
    config.retry.first_delay = Duration::from_millis(100);
    let run = hub.consume(queue, config, handler, async {
        let _ = stopped.await;
    });
    tokio::time::timeout(Duration::from_secs(40), run).await.expect("in time").expect("drained");
}

type Seen = BTreeMap<String, DebugValue>;

/// What was recorded: `name{label=value,…}`, labels in order of their names.
fn snapshot(snapshotter: &metrics_util::debugging::Snapshotter) -> Seen {
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.map(|(key, _, _, value)| {
        let mut labels: Vec<_> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort();
        (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
    })
    .collect()
}

fn counter(seen: &Seen, key: &str) -> u64 {
    match seen.get(key) {
        Some(DebugValue::Counter(count)) => *count,
        other => panic!("{key}: {other:?} among {:#?}", seen.keys()),
    }
}

fn records(seen: &Seen, key: &str) -> usize {
    match seen.get(key) {
        Some(DebugValue::Histogram(values)) => values.len(),
        other => panic!("{key}: {other:?} among {:#?}", seen.keys()),
    }
}

fn gauge(seen: &Seen, key: &str) -> f64 {
    match seen.get(key) {
        Some(DebugValue::Gauge(value)) => value.0,
        other => panic!("{key}: {other:?} among {:#?}", seen.keys()),
    }
}

#[tokio::test]
async fn every_end_of_a_publish_and_of_a_delivery_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let hub = memory("m", None);
    hub.declare(&topology("m")).await.unwrap();
    hub.publish(&event("work.a")).await.unwrap();
    hub.publish(&event("nobody.wants")).await.unwrap_err();
    let many = hub.publish_all(vec![event("work.b"), event("nobody.wants"), event("work.c")]).await;
    assert_eq!(many.iter().filter(|answer| answer.is_ok()).count(), 2);
    // a: acked at once; b: fails once; c: fails, and panics the second time.
    handle(&hub, "m.work", 5, |cx| match (cx.routing_key.as_str(), cx.attempt) {
        ("work.c", 2) => panic!("on purpose"),
        ("work.b" | "work.c", 1) => Outcome::Retry { reason: "on purpose".to_owned() },
        _ => Outcome::Ack,
    })
    .await;
    hub.shutdown().await;
    hub.publish(&event("work.a")).await.unwrap_err();

    let seen = snapshot(&snapshotter);
    let publish = "messaging.destination.name=m.events,messaging.operation.name=publish,messaging.operation.type=send,messaging.system=memory";
    assert_eq!(counter(&seen, &format!("messaging.client.sent.messages{{{publish}}}")), 3);
    assert_eq!(
        counter(&seen, &format!("messaging.client.sent.messages{{error.type=returned,{publish}}}")),
        2
    );
    assert_eq!(records(&seen, &format!("messaging.client.operation.duration{{{publish}}}")), 1);
    assert_eq!(
        records(&seen, &format!("messaging.client.operation.duration{{error.type=returned,{publish}}}")),
        2
    );
    assert_eq!(counter(&seen, "event_hub.publish.refused{messaging.destination.name=m.events}"), 1);
    assert_eq!(gauge(&seen, "event_hub.publish.in_flight{messaging.destination.name=m.events}"), 0.0);
    let process =
        "messaging.consumer.group.name=worker,messaging.operation.name=process,messaging.system=memory";
    assert_eq!(counter(&seen, &format!("messaging.client.consumed.messages{{{process}}}")), 5);
    assert_eq!(records(&seen, &format!("messaging.process.duration{{{process}}}")), 2);
    assert_eq!(records(&seen, &format!("messaging.process.duration{{error.type=failed,{process}}}")), 2);
    assert_eq!(records(&seen, &format!("messaging.process.duration{{error.type=panic,{process}}}")), 1);
    let worker = "messaging.consumer.group.name=worker";
    for (outcome, count) in [("ack", 2), ("retry", 2), ("dead_letter", 1), ("return", 0), ("drop", 0)] {
        let key = format!("event_hub.handled{{{worker},outcome={outcome}}}");
        assert_eq!(counter(&seen, &key), count, "{outcome}");
    }
    assert_eq!(counter(&seen, &format!("event_hub.redelivered{{{worker}}}")), 2);
    assert_eq!(records(&seen, &format!("event_hub.handle.lag{{{worker}}}")), 3, "a later try says nothing");
    assert_eq!(gauge(&seen, &format!("event_hub.handle.in_flight{{{worker}}}")), 0.0);
}

/// What came again, and what was forgotten.
#[tokio::test]
async fn the_inbox_counts() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let db = Database::sqlite().await.unwrap();
    db.migrate().await.unwrap();
    let id = EventId::random();
    let mut tx = db.begin().await;
    for consumer in ["audit", "audit", "mail", "audit"] {
        tx.record(consumer, &id).await.unwrap();
    }
    tx.execute("UPDATE inbox SET handled_at = handled_at - 7200000000").await;
    tx.commit().await;
    assert_eq!(db.prune(Duration::from_hours(1)).await, 2);
    let seen = snapshot(&snapshotter);
    assert_eq!(counter(&seen, "event_hub.inbox.repeated{consumer=audit}"), 2);
    assert_eq!(seen.get("event_hub.inbox.repeated{consumer=mail}"), None);
    assert_eq!(counter(&seen, "event_hub.inbox.pruned{}"), 2);
}

/// A drain counts what is in the table, that included which was there before it.
#[tokio::test]
async fn stored_letters_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let bed = Bed::memory(Database::sqlite().await.unwrap()).await;
    bed.dead(3).await;
    let seen = snapshot(&snapshotter);
    assert_eq!(counter(&seen, "event_hub.dead_letters.stored{}"), 3);
    let rows = "event_hub.dead_letters.rows{}";
    let dlq = bed.name("dlq");
    let drain = bed.letters.drain(&bed.hub, &dlq, DrainConfig::default(), |_| {}, std::future::pending());
    let counted = async {
        while gauge(&snapshot(&snapshotter), rows) != 3.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = drain => panic!("{ended:?}"),
        () = soon("a count", counted) => {}
    }
}

/// The page that names them all names all there are, with their kinds.
#[tokio::test]
async fn the_table_is_the_truth() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let Some(redis) = devkit::engines::redis().await else { return };
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let prefix = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
    let mut config = AmqpConfig::default();
    config.hub.exchange = format!("{prefix}.events");
    let hub = Hub::amqp(url, config).unwrap();
    hub.declare(&topology(&prefix)).await.unwrap();
    hub.publish(&event("work.a")).await.unwrap();
    handle(&hub, &format!("{prefix}.work"), 1, |_| Outcome::Ack).await;
    let redis = PubSub::new(redis, PubSubConfig::default()).unwrap();
    redis.bridge(&hub, BridgeConfig::channels([&prefix])).unwrap().run(std::future::ready(())).await.unwrap();
    let mirror = format!("{prefix}.mirror");
    redis.mirror(&hub, &mirror, MirrorConfig::default(), std::future::ready(())).await.unwrap();
    hub.shutdown().await;
    let all = snapshotter.snapshot().into_vec();
    let opened = all.iter().filter(|(key, ..)| key.key().name() == "event_hub.connection.opened");
    assert_eq!(opened.count(), 2, "one connection publishes, one consumes");
    let kind = |kind| match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    let emitted: BTreeSet<_> =
        all.iter().map(|(key, ..)| (key.key().name().to_owned(), kind(key.kind()).to_owned())).collect();
    let described = all.iter().all(|(_, _, text, _)| text.is_some());
    assert!(described, "each has a description");
    let documented: BTreeSet<_> = include_str!("../../src/telemetry.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .filter_map(|row| row.split_once("` | "))
        .filter(|(name, _)| name.starts_with("messaging.") || name.starts_with("event_hub."))
        .map(|(name, rest)| (name.to_owned(), rest.split([',', ' ']).next().unwrap().to_owned()))
        .collect();
    assert_eq!(emitted, documented);
}

/// In order; ids are used again, the latest is meant.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(u64, Words)>>>);

/// What a span says, by its names.
type Words = BTreeMap<String, String>;

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: LayerContext<'_, S>) {
        let mut fields = BTreeMap::new();
        attributes.record(&mut Fields(&mut fields));
        if attributes.metadata().target().starts_with("tramline_event_hub") {
            self.0.lock().unwrap().push((id.into_u64(), fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: LayerContext<'_, S>) {
        let mut all = self.0.lock().unwrap();
        if let Some((_, fields)) = all.iter_mut().rev().find(|(known, _)| *known == id.into_u64()) {
            values.record(&mut Fields(fields));
        }
    }
}

impl Spans {
    /// Those of this name, oldest first.
    fn of(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let all = self.0.lock().unwrap();
        all.iter()
            .map(|(_, fields)| fields)
            .filter(|fields| fields.get("otel.name").is_some_and(|n| n == name))
            .cloned()
            .collect()
    }
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn spans_have_the_names_of_the_conventions_and_join_the_traces() {
    let spans = Spans::default();
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    // With one listener alone, `tracing` asks whichever thread comes first whether anybody listens.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let hook = {
        let (joined, linked) = (Arc::clone(&told), Arc::clone(&told));
        let name = |span: &tracing::Span| span.metadata().unwrap().name();
        SpanHook::new(move |span, of| joined.lock().unwrap().push(format!("{} joins {of}", name(span))))
            .with_link(move |span, of| linked.lock().unwrap().push(format!("{} links {of}", name(span))))
    };
    let hub = memory("s", Some(hook));
    hub.declare(&topology("s")).await.unwrap();
    let trace = |n: usize| Some(format!("00-{n:032}-{n:016}-01"));
    let one = event("work.a").with_trace(trace(1), None).with_correlation("c");
    hub.publish(&one).await.unwrap();
    let lost = event("nobody.wants");
    hub.publish(&lost).await.unwrap_err();
    let many = (2..5).map(|n| event("work.a").with_trace(trace(n.min(3)), None)).collect();
    hub.publish_all(many).await;
    handle(&hub, "s.work", 4, |_| Outcome::Ack).await;

    let common = [
        ("otel.name", "publish s.events"),
        ("messaging.system", "memory"),
        ("messaging.operation.name", "publish"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", "s.events"),
    ];
    let mut first = fields(&common);
    first.extend(fields(&[
        ("otel.kind", "producer"),
        ("messaging.message.id", one.id.as_str()),
        ("messaging.message.conversation_id", "c"),
        ("messaging.rabbitmq.destination.routing_key", "work.a"),
        ("traceparent", one.traceparent.as_deref().unwrap()),
    ]));
    let mut second = fields(&common);
    second.extend(fields(&[
        ("otel.kind", "producer"),
        ("messaging.message.id", lost.id.as_str()),
        ("messaging.rabbitmq.destination.routing_key", "nobody.wants"),
        ("otel.status_code", "ERROR"),
        ("error.type", "returned"),
    ]));
    let mut third = fields(&common);
    third.extend(fields(&[("otel.kind", "client"), ("messaging.batch.message_count", "3")]));
    assert_eq!(spans.of("publish s.events"), [first, second, third]);

    let processed = spans.of("process worker");
    assert_eq!(processed.len(), 4);
    let mut expected = fields(&[
        ("otel.name", "process worker"),
        ("otel.kind", "consumer"),
        ("messaging.system", "memory"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "s.work"),
        ("messaging.consumer.group.name", "worker"),
        ("messaging.message.id", one.id.as_str()),
        ("messaging.message.conversation_id", "c"),
        ("messaging.rabbitmq.destination.routing_key", "work.a"),
        ("traceparent", one.traceparent.as_deref().unwrap()),
    ]);
    expected.insert("tramline.attempt".to_owned(), "1".to_owned());
    assert!(processed.contains(&expected), "{processed:#?}");

    let mut told = told.lock().unwrap().clone();
    told.sort();
    let [one, two, three] = [1, 2, 3].map(|n| trace(n).unwrap());
    let mut wanted = vec![
        format!("publish joins {one}"),
        // One link for each trace that is not the one before.
        format!("publish links {two}"),
        format!("publish links {three}"),
    ];
    wanted.splice(0..0, [&one, &two, &three, &three].map(|of| format!("process joins {of}")));
    assert_eq!(told, wanted);
}
