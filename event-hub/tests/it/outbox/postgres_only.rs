//! What only PostgreSQL can do: several relays, wake-ups across processes, transactions side by side.

use devkit::Postgres;

use super::*;

/// Two replicas' relays at once: one takes over when the other goes, and no key loses its order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_relays_one_goes_and_the_other_takes_over() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let first = db.relay(&hub, config());
    db.enqueue(&placed("a", 0)).await;
    orders.next().await;
    let second = db.relay(&hub, config());
    for n in 1..50 {
        for key in ["a", "b"] {
            db.enqueue(&placed(key, if key == "a" { n } else { n - 1 })).await;
        }
    }
    let mut events = orders.distinct(40).await;
    db.until(ALL, 0).await;
    events.append(&mut orders.distinct(58).await);
    assert!(orders.events.try_recv().is_err(), "nothing was sent twice");
    first.kill().await;
    for n in 50..60 {
        db.enqueue(&placed("a", n)).await;
    }
    events.append(&mut orders.distinct(10).await);
    events.insert(0, placed("a", 0));
    assert_ordered(&events);
    db.until(ALL, 0).await;
    second.stop().await;
}

/// A commit in another process wakes the relay: it does not wait for its poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_the_relay() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut slow = config();
    slow.poll_interval = Duration::from_secs(600);
    slow.gauge_interval = Duration::from_secs(600);
    let relay = db.relay(&hub, slow);
    db.enqueue(&placed("a", 0)).await;
    orders.next().await;
    db.until(
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN \"tramline_outbox\"' \
              AND state = 'idle' AND datname = current_database()",
        1,
    )
    .await;
    db.enqueue(&placed("a", 1)).await;
    orders.next().await;
    relay.stop().await;
}

/// The lower number commits last. «After the last one» would lose it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_commits_late_is_not_passed_over() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    let (late, early) = (placed("late", 0), placed("early", 0));
    let mut tx = db.begin().await;
    tx.enqueue(&late).await;
    db.enqueue(&early).await;
    assert_eq!(orders.next().await.id, early.id);
    db.until(ALL, 0).await;
    tx.commit().await;
    assert_eq!(orders.next().await.id, late.id);
    relay.stop().await;
}

/// The server ends the relay's connection, and with it the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_made_again() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relay = db.relay(&hub, config());
    for n in 0..5 {
        db.enqueue(&placed("a", n)).await;
        orders.next().await;
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'tramline outbox relay' AND datname = current_database()",
        )
        .await;
    }
    db.until(ALL, 0).await;
    relay.stop().await;
}

/// The server dies and comes back: what it had committed goes out, and the relay works on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_is_waited_for() {
    if devkit::engines::postgres().await.is_none() {
        return;
    }
    let server = Postgres::start().await.unwrap();
    let db = Database::at(&server.fresh_database().await.unwrap()).await;
    db.migrate().await.unwrap();
    let hub = memory().await;
    let relay = db.relay(&hub, config());
    for n in 0..20 {
        db.enqueue(&placed("a", n)).await;
    }
    db.until(UNSETTLED, 20).await;
    server.kill().await;
    // Answers come while nobody can write them down.
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut events = orders.distinct(20).await;
    server.restart().await.unwrap();
    db.until(ALL, 0).await;
    for n in 20..25 {
        db.enqueue(&placed("a", n)).await;
    }
    // What was settled meanwhile is not sent again.
    for _ in 20..25 {
        events.push(orders.next().await);
    }
    assert_ordered(&events);
    db.until(ALL, 0).await;
    relay.stop().await;
}
