//! Rows that are put aside, and what becomes of them.

use tramline_event_hub::outbox::{Parked, Selection};

use super::*;

on_both!(
    parked_rows_are_listed_page_by_page,
    a_resumed_row_is_sent_and_a_discarded_one_never,
    what_is_refused_too_often_is_parked_and_its_key_goes_on,
    what_is_refused_for_too_long_is_parked,
    without_a_limit_nothing_is_parked,
    a_hub_that_is_away_parks_nothing,
);

const PARKED: &str = "SELECT count(*) FROM outbox WHERE state = 2";

/// Events that no queue wants.
fn bill(key: &str, n: u32) -> Event {
    event("bills.bill.made", Some(key), &json!({ "key": key, "n": n }))
}

fn bills() -> Topology {
    Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("bills.queue"))
        .binding(Binding::new("events", "bills.#", "bills.queue"))
}

fn numbers(rows: &[Parked]) -> Vec<i64> {
    rows.iter().map(|row| row.row).collect()
}

async fn parked_rows_are_listed_page_by_page(db: Database) {
    db.migrate().await.unwrap();
    let mut tx = db.begin().await;
    for n in 0..5 {
        tx.enqueue(&placed("a", n)).await;
    }
    tx.execute("UPDATE outbox SET state = 2, last_error = 'no event', attempts = 3 WHERE seq <> 3").await;
    tx.commit().await;
    let first = db.parked(0, 3).await;
    assert_eq!(numbers(&first), [1, 2, 4]);
    let row = &first[0];
    assert_eq!((row.key.as_deref(), row.reason.as_str(), row.attempts), (Some("a"), "no event", 3));
    assert_eq!(Event::from_json(&row.body).unwrap().id.as_str(), row.event_id);
    let age = jiff::Timestamp::now().duration_since(row.enqueued_at);
    assert!((0..600).contains(&age.as_secs()), "{age:?}");
    assert_eq!(numbers(&db.parked(4, 3).await), [5]);
    assert!(db.parked(5, 3).await.is_empty());
}

async fn a_resumed_row_is_sent_and_a_discarded_one_never(db: Database) {
    db.migrate().await.unwrap();
    let mut tx = db.begin().await;
    for n in 0..6 {
        tx.enqueue(&placed(&format!("key-{n}"), 0)).await;
    }
    tx.execute("UPDATE outbox SET state = 2, last_error = 'once', attempts = 9, refused = 9, due_at = 7")
        .await;
    tx.commit().await;
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    // What is no parked row is passed over.
    assert_eq!(db.resume(Selection::Rows(&[2, 77])).await, 1);
    relay.waker.notify();
    assert_eq!(orders.next().await.partition_key.as_deref(), Some("key-1"));
    db.until(ALL, 5).await;
    assert_eq!(db.discard(Selection::Rows(&[1, 2, 3])).await, 2);
    assert_eq!(db.resume(Selection::Rows(&[])).await, 0);
    assert_eq!(db.resume(Selection::All).await, 3);
    relay.waker.notify();
    let mut keys: Vec<_> =
        orders.distinct(3).await.into_iter().map(|event| event.partition_key.unwrap()).collect();
    keys.sort();
    assert_eq!(keys, ["key-3", "key-4", "key-5"]);
    db.until(ALL, 0).await;
    // What waits is nobody's to discard.
    db.enqueue(&bill("a", 0)).await;
    assert_eq!(db.discard(Selection::All).await, 0);
    relay.stop().await;
}

async fn what_is_refused_too_often_is_parked_and_its_key_goes_on(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut strict = config();
    strict.park_after = Some(3);
    let relay = db.relay(&hub, strict);
    let mut tx = db.begin().await;
    tx.enqueue(&bill("a", 0)).await;
    tx.enqueue(&placed("a", 0)).await;
    tx.commit().await;
    relay.waker.notify();
    assert_ordered(&[orders.next().await]);
    db.until(ALL, 1).await;
    let parked = db.parked(0, 10).await;
    assert!(parked[0].reason.contains("312"), "{}", parked[0].reason);
    assert_eq!(parked[0].attempts, 2, "twice tried again, the third time put aside");
    relay.until("it is told", |status| status.last_error.is_none()).await;
    // Its queue is there, and it is sent after all.
    hub.declare(&bills()).await.unwrap();
    let mut bills = Collector::new(&hub, "bills.queue");
    assert_eq!(db.resume(Selection::All).await, 1);
    relay.waker.notify();
    assert_eq!(bills.next().await.id.as_str(), parked[0].event_id);
    db.until(ALL, 0).await;
    relay.stop().await;
}

/// By its first refusal, not by its age: an old event of an outage has its tries like any other.
async fn what_is_refused_for_too_long_is_parked(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut strict = config();
    strict.park_after_age = Some(Duration::from_secs(3_600));
    let mut tx = db.begin().await;
    tx.enqueue(&bill("a", 0)).await;
    tx.execute("UPDATE outbox SET created_at = created_at - 7200000000").await;
    tx.commit().await;
    let relay = db.relay(&hub, strict);
    db.until("SELECT count(*) FROM outbox WHERE refused >= 2", 1).await;
    assert_eq!(db.number(PARKED).await, 0);
    // Again and again: an answer on its way writes down what it knew.
    let aged = async {
        while db.number(PARKED).await == 0 {
            db.execute(
                "UPDATE outbox SET refused_since = refused_since - 7200000000 WHERE refused_since > 0",
            )
            .await;
        }
    };
    timeout(SOON, aged).await.expect("parked in time");
    relay.stop().await;
}

async fn without_a_limit_nothing_is_parked(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut quick = config();
    quick.first_delay = Duration::from_millis(1);
    quick.max_delay = Duration::from_millis(1);
    let relay = db.relay(&hub, quick);
    db.enqueue(&bill("a", 0)).await;
    relay.waker.notify();
    db.until("SELECT count(*) FROM outbox WHERE attempts >= 30 AND refused >= 30", 1).await;
    assert_eq!(db.number(PARKED).await, 0);
    relay.stop().await;
}

/// Nothing here is an event's fault.
async fn a_hub_that_is_away_parks_nothing(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    hub.shutdown().await;
    let mut strict = config();
    strict.park_after = Some(1);
    strict.park_after_age = Some(Duration::ZERO);
    let relay = db.relay(&hub, strict.clone());
    db.enqueue(&placed("a", 0)).await;
    relay.waker.notify();
    db.until("SELECT count(*) FROM outbox WHERE attempts >= 3 AND refused = 0", 1).await;
    let status = relay.status();
    assert!(status.paused && status.last_error.is_some(), "{status:?}");
    assert_eq!(db.number(PARKED).await, 0);
    relay.stop().await;
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, strict);
    orders.next().await;
    db.until(ALL, 0).await;
    relay.stop().await;
}
