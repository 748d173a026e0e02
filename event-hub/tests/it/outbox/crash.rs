//! Relays that end in the middle of their work.

use tramline_event_hub::health::QueueStats;
use tramline_event_hub::inbox;

use super::*;

on_both!(
    what_was_committed_before_a_crash_goes_out_after_it,
    relays_killed_again_and_again_lose_nothing_and_keep_order,
    the_inbox_drops_what_a_crash_sent_twice,
);

/// Between commit and publish there is only the row.
async fn what_was_committed_before_a_crash_goes_out_after_it(db: Database) {
    db.migrate().await.unwrap();
    for n in 0..3 {
        db.enqueue(&placed("a", n)).await;
    }
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    assert_ordered(&orders.distinct(3).await);
    db.until(ALL, 0).await;
    relay.stop().await;
}

async fn relays_killed_again_and_again_lose_nothing_and_keep_order(db: Database) {
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut tx = db.begin().await;
    for n in 0..60 {
        for key in ["a", "b", "c", "d", "e"] {
            tx.enqueue(&placed(key, n)).await;
        }
    }
    tx.commit().await;
    let mut few = config();
    few.window = 8;
    let mut events = Vec::new();
    let mut seen = HashSet::new();
    for round in 0..8 {
        let relay = db.relay(&hub, few.clone());
        // Some of it, with more in flight.
        for _ in 0..10 + round {
            let event = orders.next().await;
            if seen.insert(event.id.clone()) {
                events.push(event);
            }
        }
        relay.kill().await;
    }
    let relay = db.relay(&hub, few);
    while events.len() < 300 {
        let event = orders.next().await;
        if seen.insert(event.id.clone()) {
            events.push(event);
        }
    }
    assert_ordered(&events);
    db.until(ALL, 0).await;
    relay.stop().await;
}

async fn the_inbox_drops_what_a_crash_sent_twice(db: Database) {
    db.migrate().await.unwrap();
    db.execute("CREATE TABLE effects (n INTEGER NOT NULL)").await;
    let db = std::sync::Arc::new(db);
    let hub = memory().await;
    for n in 0..40 {
        db.enqueue(&placed("a", n)).await;
    }
    // Confirmed, handled by nobody, and then the relay dies: the next one sends all of it again.
    for messages in [40, 80] {
        let relay = db.relay(&hub, config());
        until_queue(&hub, |queue| queue.messages == messages).await;
        relay.kill().await;
    }
    let effects = {
        let db = db.clone();
        move |event: Event, _: Context| {
            let db = db.clone();
            async move {
                let mut tx = db.begin().await;
                if tx.record("orders", &event.id).await.unwrap() {
                    tx.execute("INSERT INTO effects VALUES (1)").await;
                }
                tx.commit().await;
                Outcome::Ack
            }
        }
    };
    let relay = db.relay(&hub, config());
    let consumer = tokio::spawn({
        let hub = hub.clone();
        async move {
            hub.consume("orders.queue", ConsumerConfig::default(), effects, std::future::pending()).await
        }
    });
    db.until(ALL, 0).await;
    until_queue(&hub, |queue| queue.messages + queue.unacknowledged == 0).await;
    assert_eq!(db.number("SELECT count(*) FROM effects").await, 40);
    assert_eq!(db.number("SELECT count(*) FROM inbox").await, 40);
    assert_eq!(db.prune(inbox::RETENTION).await, 0);
    consumer.abort();
    relay.stop().await;
}

async fn until_queue(hub: &Hub, reached: impl Fn(&QueueStats) -> bool) {
    let asked = async {
        while !reached(&hub.queue("orders.queue").await.unwrap().unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, asked).await.expect("the queue in time");
}
