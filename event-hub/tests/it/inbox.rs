//! The inbox on both databases.

use std::time::Duration;

use serde_json::json;
use tramline_event_hub::EventId;

use crate::database::{Database, on_both};

on_both!(
    the_first_time_is_told_from_the_second,
    a_mark_goes_with_its_transaction,
    two_at_once_make_one_effect,
    old_marks_are_pruned,
    a_task_prunes_for_as_long_as_it_runs,
    many_migrate_at_once,
);

async fn the_first_time_is_told_from_the_second(db: Database) {
    db.migrate().await.unwrap();
    let (one, other) = (EventId::random(), EventId::random());
    let mut answers = Vec::new();
    for (consumer, id) in [("audit", &one), ("audit", &one), ("mail", &one), ("audit", &other)] {
        let mut tx = db.begin().await;
        answers.push(tx.record(consumer, id).await.unwrap());
        tx.commit().await;
    }
    assert_eq!(answers, [true, false, true, true]);
    // Within one transaction too.
    let mut tx = db.begin().await;
    assert!(!tx.record("mail", &one).await.unwrap());
    assert!(tx.record("mail", &other).await.unwrap());
    assert!(!tx.record("mail", &other).await.unwrap());
    tx.commit().await;
}

async fn a_mark_goes_with_its_transaction(db: Database) {
    db.migrate().await.unwrap();
    let id = EventId::random();
    let mut tx = db.begin().await;
    assert!(tx.record("audit", &id).await.unwrap());
    tx.rollback().await;
    let mut tx = db.begin().await;
    assert!(tx.record("audit", &id).await.unwrap(), "the effect is not there, so this is the first time");
    tx.commit().await;
}

/// Two replicas get the same event at once (a redelivery whose first delivery is still at work).
async fn two_at_once_make_one_effect(db: Database) {
    db.migrate().await.unwrap();
    db.execute("CREATE TABLE effects (n INTEGER NOT NULL)").await;
    let id = EventId::random();
    let effect = async || {
        let mut tx = db.begin().await;
        if tx.record("audit", &id).await.unwrap() {
            tx.execute("INSERT INTO effects VALUES (1)").await;
        }
        tx.commit().await;
    };
    tokio::join!(effect(), effect(), effect(), effect());
    assert_eq!(db.number("SELECT count(*) FROM effects").await, 1);
}

async fn old_marks_are_pruned(db: Database) {
    db.migrate().await.unwrap();
    let mut tx = db.begin().await;
    for _ in 0..1_500 {
        tx.record("audit", &EventId::random()).await.unwrap();
    }
    tx.execute("UPDATE inbox SET handled_at = handled_at - 7200000000").await;
    tx.record("audit", &EventId::random()).await.unwrap();
    tx.commit().await;
    assert_eq!(db.prune(Duration::from_secs(10_800)).await, 0);
    assert_eq!(db.prune(Duration::from_secs(3_600)).await, 1_500);
    assert_eq!(db.number("SELECT count(*) FROM inbox").await, 1);
}

/// The shortest interval there is: a second.
async fn a_task_prunes_for_as_long_as_it_runs(db: Database) {
    db.migrate().await.unwrap();
    let young = EventId::random();
    let rounds = async {
        for round in 0..3 {
            let mut tx = db.begin().await;
            tx.record("audit", &EventId::random()).await.unwrap();
            tx.execute("UPDATE inbox SET handled_at = handled_at - 7200000000").await;
            tx.record(&format!("round-{round}"), &young).await.unwrap();
            tx.commit().await;
            db.until("SELECT count(*) FROM inbox", 1).await;
        }
    };
    tokio::select! {
        () = db.run_inbox(Duration::from_secs(3_600), Duration::ZERO) => {}
        () = rounds => {}
    }
    assert_eq!(
        db.number("SELECT count(*) FROM inbox WHERE consumer = 'round-2'").await,
        1,
        "what is young stays"
    );
}

/// Replicas that start together, and again later with everything there.
async fn many_migrate_at_once(db: Database) {
    let all = futures_util::future::join_all((0..6).map(|_| db.migrate())).await;
    for one in all {
        one.unwrap();
    }
    let mut tx = db.begin().await;
    tx.record("audit", &EventId::random()).await.unwrap();
    tx.enqueue(&crate::outbox::event("orders.order.placed", None, &json!({}))).await;
    tx.commit().await;
    db.migrate().await.unwrap();
    assert_eq!(db.number("SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM outbox)").await, 2);
    assert_eq!(
        db.number("SELECT CAST(version AS BIGINT) FROM tramline_schema WHERE part = 'inbox'").await,
        1
    );
    assert_eq!(
        db.number("SELECT CAST(version AS BIGINT) FROM tramline_schema WHERE part = 'outbox'").await,
        2
    );
}
