//! The outbox over RabbitMQ.

use devkit::Fault;
use tramline_event_hub::AmqpConfig;

use super::*;
use crate::support::{STRICT_BODY, strict};

on_both!(
    everything_goes_out_in_order_though_relays_are_killed_in_flight,
    a_returned_event_is_sent_again_until_a_queue_is_bound,
);

async fn everything_goes_out_in_order_though_relays_are_killed_in_flight(db: Database) {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    db.migrate().await.unwrap();
    let hub = Hub::amqp(&url, AmqpConfig::default()).unwrap();
    hub.declare(&orders()).await.unwrap();
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut tx = db.begin().await;
    for n in 0..60 {
        for key in ["a", "b", "c", "d", "e"] {
            tx.enqueue(&placed(key, n)).await;
        }
    }
    tx.commit().await;
    let mut events = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..4 {
        let relay = db.relay(&hub, config());
        for _ in 0..20 {
            let event = orders.next().await;
            if seen.insert(event.id.clone()) {
                events.push(event);
            }
        }
        relay.kill().await;
    }
    let relay = db.relay(&hub, config());
    while events.len() < 300 {
        let event = orders.next().await;
        if seen.insert(event.id.clone()) {
            events.push(event);
        }
    }
    assert_ordered(&events);
    // The broker keeps what it confirmed: the row goes at once.
    db.until(ALL, 0).await;
    relay.stop().await;
    hub.shutdown().await;
}

async fn a_returned_event_is_sent_again_until_a_queue_is_bound(db: Database) {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    db.migrate().await.unwrap();
    let hub = Hub::amqp(&url, AmqpConfig::default()).unwrap();
    hub.declare(&Topology::new().exchange(Exchange::topic("events"))).await.unwrap();
    let relay = db.relay(&hub, config());
    let first = placed("a", 0);
    db.enqueue(&first).await;
    db.enqueue(&placed("a", 1)).await;
    relay.waker.notify();
    db.until("SELECT count(*) FROM outbox WHERE attempts >= 2", 1).await;
    assert_eq!(db.number("SELECT count(*) FROM outbox WHERE last_error LIKE '%312%'").await, 1);
    hub.declare(&orders()).await.unwrap();
    let mut orders = Collector::new(&hub, "orders.queue");
    let both = orders.distinct(2).await;
    assert_eq!(both[0].id, first.id);
    assert_ordered(&both);
    db.until(ALL, 0).await;
    relay.stop().await;
    hub.shutdown().await;
}

/// The broker goes away between two events, with nothing of the second sent: both arrive, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_away_is_waited_for() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let (fault, relay_url) = Fault::in_front_of(&url).await.unwrap();
    let db = Database::sqlite().await.unwrap();
    db.migrate().await.unwrap();
    let mut amqp = AmqpConfig::default();
    // Short, so that the outage is longer than a publish's patience.
    amqp.hub.publish_timeout = Duration::from_secs(1);
    amqp.backoff_max = Duration::from_millis(500);
    let hub = Hub::amqp(&relay_url, amqp).unwrap();
    hub.declare(&orders()).await.unwrap();
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    db.enqueue(&placed("a", 0)).await;
    let mut events = orders.distinct(1).await;
    fault.cut();
    for n in 1..20 {
        db.enqueue(&placed("a", n)).await;
        db.enqueue(&placed("b", n - 1)).await;
    }
    relay.until("it waits", |status| status.paused && status.last_error.is_some()).await;
    db.until("SELECT count(*) > 0 FROM outbox WHERE attempts > 0", 1).await;
    fault.heal();
    let mut seen: HashSet<_> = events.iter().map(|event| event.id.clone()).collect();
    while events.len() < 39 {
        let event = orders.next().await;
        if seen.insert(event.id.clone()) {
            events.push(event);
        }
    }
    assert_ordered(&events);
    db.until(ALL, 0).await;
    relay.until("it is well again", |status| !status.paused && status.last_error.is_none()).await;
    relay.stop().await;
    hub.shutdown().await;
}

/// One event makes the broker close the channel, with a window of others on it: that one is put aside, and the others
/// go out, each at most twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_closes_the_channel_is_put_aside_and_the_others_go_out() {
    let Some(broker) = strict().await else { return };
    let url = broker.fresh_vhost().await.unwrap();
    let db = Database::sqlite().await.unwrap();
    db.migrate().await.unwrap();
    let hub = Hub::amqp(&url, AmqpConfig::default()).unwrap();
    hub.declare(&orders()).await.unwrap();
    let mut tx = db.begin().await;
    for n in 0..100 {
        let body = if n == 50 { "x".repeat(STRICT_BODY) } else { String::new() };
        tx.enqueue(&event("orders.order.placed", None, &json!({ "n": n, "body": body }))).await;
    }
    tx.commit().await;
    let mut careful = config();
    careful.park_after = Some(2);
    let relay = db.relay(&hub, careful);
    db.until("SELECT count(*) FROM outbox WHERE state = 2", 1).await;
    db.until(ALL, 1).await;
    let error = "SELECT count(*) FROM outbox WHERE last_error LIKE '%406%larger than%'";
    assert_eq!(db.number(error).await, 1);
    relay.stop().await;
    let queued = hub.queue("orders.queue").await.unwrap().unwrap().messages;
    assert!((99..=198).contains(&queued), "{queued}");
    let mut collector = Collector::new(&hub, "orders.queue");
    assert_eq!(collector.distinct(99).await.len(), 99);
    hub.shutdown().await;
}
