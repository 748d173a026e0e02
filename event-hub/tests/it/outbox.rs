//! The outbox on both databases, over the memory hub.

mod broker;
mod crash;
mod failure;
mod figures;
mod outage;
mod parked;
mod postgres_only;
mod sessions;
mod sharing;
mod upgrade;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tramline_event_hub::outbox::RelayConfig;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{ConsumerConfig, Context, Event, Hub, MemoryConfig, Outcome};

use crate::database::{Database, on_both};
use crate::support::SOON;

on_both!(
    what_is_committed_is_sent_and_nothing_else,
    the_order_of_each_key_is_kept,
    a_row_stays_until_its_event_is_settled,
    no_more_than_the_bound_are_unsettled,
    a_drain_waits_for_the_confirms_and_takes_nothing_new,
);

pub(crate) const WAITING: &str = "SELECT count(*) FROM outbox WHERE state = 0";
pub(crate) const UNSETTLED: &str = "SELECT count(*) FROM outbox WHERE state = 1";
pub(crate) const ALL: &str = "SELECT count(*) FROM outbox";

pub(crate) fn event(event_type: &str, key: Option<&str>, data: &impl Serialize) -> Event {
    let mut event = Event::new(event_type, "shop", data).unwrap();
    event.partition_key = key.map(str::to_owned);
    event
}

/// An order's event: the key, and its place within it.
pub(crate) fn placed(key: &str, n: u32) -> Event {
    event("orders.order.placed", Some(key), &json!({ "key": key, "n": n }))
}

pub(crate) fn config() -> RelayConfig {
    let mut config = RelayConfig::default();
    // Short, since these tests wait for the retries.
    config.first_delay = Duration::from_millis(20);
    config.max_delay = Duration::from_millis(100);
    config.max_pause = Duration::from_millis(100);
    config.poll_interval = Duration::from_millis(50);
    config
}

pub(crate) fn orders() -> Topology {
    Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("orders.queue"))
        .binding(Binding::new("events", "orders.#", "orders.queue"))
}

pub(crate) async fn memory() -> Hub {
    let hub = Hub::memory(MemoryConfig::default());
    hub.declare(&orders()).await.unwrap();
    hub
}

/// Collects what comes out of a queue, one after the other.
pub(crate) struct Collector {
    events: mpsc::Receiver<Event>,
    _task: AbortOnDropHandle<()>,
}

impl Collector {
    pub(crate) fn new(hub: &Hub, queue: &'static str) -> Self {
        let (sender, events) = mpsc::channel(10_000);
        let hub = hub.clone();
        let task = tokio::spawn(async move {
            let mut config = ConsumerConfig::default();
            config.concurrency = 1;
            let handler = move |event: Event, _: Context| {
                let sender = sender.clone();
                async move {
                    let _ = sender.send(event).await;
                    Outcome::Ack
                }
            };
            hub.consume(queue, config, handler, std::future::pending()).await.unwrap();
        });
        Self { events, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) async fn next(&mut self) -> Event {
        timeout(SOON, self.events.recv()).await.expect("an event in time").unwrap()
    }

    /// The next events without repeats, in the order of their first coming.
    pub(crate) async fn distinct(&mut self, count: usize) -> Vec<Event> {
        let mut seen = HashSet::new();
        let mut events = Vec::new();
        while events.len() < count {
            let event = self.next().await;
            if seen.insert(event.id.clone()) {
                events.push(event);
            }
        }
        events
    }
}

/// Panics unless each key's events stand in order.
pub(crate) fn assert_ordered(events: &[Event]) {
    let mut last = BTreeMap::new();
    for event in events {
        let data: serde_json::Value = event.data().unwrap();
        let (key, n) = (data["key"].as_str().unwrap().to_owned(), data["n"].as_u64().unwrap());
        let next = last.insert(key.clone(), n).map_or(0, |before| before + 1);
        assert_eq!(n, next, "key {key}");
    }
}

async fn what_is_committed_is_sent_and_nothing_else(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let first = placed("a", 0)
        .with_trace(Some(traceparent.to_owned()), Some("vendor=1".to_owned()))
        .with_correlation("request-1")
        .with_subject("order/7")
        .with_version(3);
    let mut tx = db.begin().await;
    tx.enqueue(&placed("a", 9)).await;
    tx.rollback().await;
    let relay = db.relay(&hub, config());
    let mut tx = db.begin().await;
    tx.enqueue(&first).await;
    tx.enqueue(&placed("a", 1)).await;
    tx.commit().await;
    relay.waker.notify();

    let came = orders.next().await;
    assert_eq!(came.to_json(), first.to_json(), "the event goes out as it was enqueued");
    assert_eq!(came.traceparent.as_deref(), Some(traceparent));
    assert_eq!(orders.next().await.data::<serde_json::Value>().unwrap()["n"], 1);
    db.until(ALL, 0).await;
    assert!(orders.events.try_recv().is_err(), "what was rolled back never goes out");
    relay.stop().await;
}

async fn the_order_of_each_key_is_kept(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    // One long lane first: it must not keep the others from going.
    let mut tx = db.begin().await;
    for n in 0..300 {
        tx.enqueue(&placed("long", n)).await;
    }
    for n in 0..20 {
        for key in ["a", "b", "c", "d", "e"] {
            tx.enqueue(&placed(key, n)).await;
        }
    }
    tx.commit().await;
    let mut few = config();
    few.window = 16;
    let relay = db.relay(&hub, few);
    let events = orders.distinct(400).await;
    assert_ordered(&events);
    let long = events.iter().rposition(|event| event.partition_key.as_deref() == Some("long"));
    assert_eq!(long, Some(399), "the short lanes were done before the long one");
    db.until(ALL, 0).await;
    relay.stop().await;
}

/// The memory hub confirms what no handler has seen yet: the row is what survives this process.
async fn a_row_stays_until_its_event_is_settled(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let relay = db.relay(&hub, config());
    for n in 0..5 {
        db.enqueue(&placed("a", n)).await;
    }
    relay.waker.notify();
    db.until(UNSETTLED, 5).await;
    relay.stop().await;
    assert_eq!(db.number(ALL).await, 5);
    hub.shutdown().await;

    // The next life.
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    assert_ordered(&orders.distinct(5).await);
    db.until(ALL, 0).await;
    relay.stop().await;
}

async fn no_more_than_the_bound_are_unsettled(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut bounded = config();
    bounded.max_unsettled = 7;
    let relay = db.relay(&hub, bounded);
    let mut tx = db.begin().await;
    for n in 0..50 {
        tx.enqueue(&event("orders.order.placed", None, &json!({ "key": "a", "n": n }))).await;
    }
    tx.commit().await;
    relay.waker.notify();
    db.until(UNSETTLED, 7).await;
    assert_eq!(hub.queue("orders.queue").await.unwrap().unwrap().messages, 7);
    assert_eq!(db.number(WAITING).await, 43);
    let mut orders = Collector::new(&hub, "orders.queue");
    orders.distinct(50).await;
    db.until(ALL, 0).await;
    relay.stop().await;
}

async fn a_drain_waits_for_the_confirms_and_takes_nothing_new(db: Database) {
    db.migrate().await.unwrap();
    let mut small = MemoryConfig::default();
    small.queue_capacity.0 = 1;
    let hub = Hub::memory(small);
    hub.declare(&orders()).await.unwrap();
    let mut patient = config();
    // Longer than the test waits.
    patient.drain_timeout = Duration::from_secs(120);
    let relay = db.relay(&hub, patient);
    // The first fills the queue; the second waits for room, without its confirm.
    // In one transaction, so that both go out together.
    let mut tx = db.begin().await;
    for key in ["a", "b"] {
        tx.enqueue(&placed(key, 0)).await;
    }
    tx.commit().await;
    relay.waker.notify();
    db.until(UNSETTLED, 1).await;
    db.until(WAITING, 1).await;
    let stopping = tokio::spawn(relay.stop());
    tokio::task::yield_now().await;
    db.enqueue(&placed("c", 0)).await;
    let mut collector = Collector::new(&hub, "orders.queue");
    collector.distinct(2).await;
    timeout(SOON, stopping).await.expect("drained before its bound").unwrap();
    assert_eq!(db.number("SELECT count(*) FROM outbox WHERE state = 0 AND ordering_key = 'c'").await, 1);
    assert_eq!(db.number("SELECT count(*) FROM outbox WHERE state = 0 AND ordering_key <> 'c'").await, 0);
}
