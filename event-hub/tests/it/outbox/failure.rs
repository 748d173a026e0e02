//! Events that cannot be sent, rows that cannot be read, a database that is away.

use serde_json::json;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{Hub, MemoryConfig};

use super::*;

on_both!(
    a_returned_event_holds_back_its_key_until_a_queue_is_bound,
    a_row_that_is_no_event_is_parked_and_blocks_nothing,
    a_database_that_was_away_is_used_again,
    a_queue_that_was_missing_at_first_gets_everything,
);

async fn a_returned_event_holds_back_its_key_until_a_queue_is_bound(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    let returned = event("bills.bill.made", Some("a"), &json!({ "key": "a", "n": 0 }));
    db.enqueue(&returned).await;
    db.enqueue(&placed("a", 1)).await;
    db.enqueue(&placed("b", 0)).await;
    db.enqueue(&event("orders.order.placed", None, &json!({ "key": "none", "n": 0 }))).await;
    relay.waker.notify();
    let others = orders.distinct(2).await;
    assert!(others.iter().all(|event| event.partition_key.as_deref() != Some("a")));
    // Tried more than once, and the later event of the key was not.
    db.until("SELECT count(*) FROM outbox WHERE attempts >= 3", 1).await;
    assert_eq!(db.number("SELECT count(*) FROM outbox WHERE attempts > 0").await, 1);
    assert!(orders.events.try_recv().is_err());

    let bills = Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("bills.queue"))
        .binding(Binding::new("events", "bills.#", "bills.queue"))
        .binding(Binding::new("events", "orders.#", "bills.queue"));
    hub.declare(&bills).await.unwrap();
    let mut bills = Collector::new(&hub, "bills.queue");
    let both = bills.distinct(2).await;
    assert_eq!(both[0].id, returned.id, "the same id as before");
    assert_ordered(&both);
    db.until(ALL, 0).await;
    relay.stop().await;
}

async fn a_row_that_is_no_event_is_parked_and_blocks_nothing(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut tx = db.begin().await;
    tx.enqueue(&placed("a", 0)).await;
    tx.execute("UPDATE outbox SET body = '{\"specversion\":\"1.0\"'").await;
    tx.enqueue(&placed("a", 0)).await;
    tx.commit().await;
    let relay = db.relay(&hub, config());
    assert_ordered(&orders.distinct(1).await);
    db.until(ALL, 1).await;
    assert_eq!(db.number("SELECT count(*) FROM outbox WHERE state = 2 AND last_error IS NOT NULL").await, 1);
    relay.stop().await;
    // Another life leaves it alone.
    let relay = db.relay(&hub, config());
    db.enqueue(&placed("a", 1)).await;
    relay.waker.notify();
    orders.next().await;
    db.until(ALL, 1).await;
    relay.stop().await;
}

async fn a_database_that_was_away_is_used_again(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    db.enqueue(&placed("a", 0)).await;
    relay.waker.notify();
    orders.next().await;
    db.until(ALL, 0).await;
    // Every statement of the relay fails for a while.
    db.execute("ALTER TABLE outbox RENAME TO away").await;
    relay.until("a statement fails", |status| status.last_error.is_some()).await;
    db.execute("ALTER TABLE away RENAME TO outbox").await;
    db.enqueue(&placed("a", 1)).await;
    assert_eq!(orders.distinct(1).await[0].data::<serde_json::Value>().unwrap()["n"], 1);
    db.until(ALL, 0).await;
    relay.until("it is well again", |status| status.last_error.is_none()).await;
    relay.stop().await;
}

/// Every service starts with nothing declared yet: all events come back, and none is lost.
async fn a_queue_that_was_missing_at_first_gets_everything(db: Database) {
    db.migrate().await.unwrap();
    let hub = Hub::memory(MemoryConfig::default());
    hub.declare(&Topology::new().exchange(Exchange::topic("events"))).await.unwrap();
    let relay = db.relay(&hub, config());
    let mut tx = db.begin().await;
    for n in 0..100 {
        for key in ["a", "b", "c"] {
            tx.enqueue(&placed(key, n)).await;
        }
    }
    tx.commit().await;
    relay.waker.notify();
    db.until("SELECT count(*) FROM outbox WHERE attempts > 0", 3).await;
    hub.declare(&orders()).await.unwrap();
    let mut orders = Collector::new(&hub, "orders.queue");
    assert_ordered(&orders.distinct(300).await);
    db.until(ALL, 0).await;
    relay.stop().await;
}
