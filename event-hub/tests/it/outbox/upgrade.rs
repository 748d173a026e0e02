//! From the version with one relay to the one whose relays share.

use sqlx::PgPool;

use super::*;

/// What a relay of the first version held while it sent.
const OLD_LOCK: &str = "SELECT pg_try_advisory_lock(1953653101, hashtext(current_schema() || '.outbox'))";

fn pool(db: &Database) -> PgPool {
    match db {
        Database::Postgres(pool) => pool.clone(),
        Database::Sqlite(..) => panic!("PostgreSQL only"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_of_the_first_version_and_those_that_share_exclude_each_other() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let mut old = pool(&db).acquire().await.unwrap();
    let locked: bool = sqlx::query_scalar(OLD_LOCK).fetch_one(&mut *old).await.unwrap();
    assert!(locked);
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relays = [db.relay(&hub, config()), db.relay(&hub, config())];
    db.enqueue(&placed("a", 0)).await;
    db.until(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tramline outbox relay' \
              AND datname = current_database() AND query LIKE '%pg_try_advisory_lock_shared%'",
        2,
    )
    .await;
    assert_eq!(db.number(WAITING).await, 1);
    assert!(relays.iter().all(|relay| relay.status().relays == 0));
    // The old process ends.
    drop(old.detach());
    orders.next().await;
    for relay in &relays {
        relay.until("they share", |status| status.partitions == 8).await;
    }
    let locked: bool = sqlx::query_scalar(OLD_LOCK).fetch_one(&pool(&db)).await.unwrap();
    assert!(!locked, "no relay of the first version comes in between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_the_first_version_have_their_partition_and_old_code_goes_on_writing() {
    let Some(db) = Database::postgres().await else { return };
    db.execute(include_str!("../../../migrations/postgres/outbox_0001.sql")).await;
    db.execute("CREATE TABLE tramline_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)").await;
    db.execute("INSERT INTO tramline_schema VALUES ('outbox', 1)").await;
    let pool = pool(&db);
    // The statement of the first version.
    let old = async |event: &Event| {
        sqlx::query(
            "WITH new AS ( \
                INSERT INTO outbox (event_id, ordering_key, body, created_at) VALUES ($1, $2, $3, $4) RETURNING seq \
            ) SELECT pg_notify('tramline_outbox', '') FROM new",
        )
        .bind(event.id.as_str())
        .bind(event.partition_key.as_deref())
        .bind(std::str::from_utf8(&event.to_json()).unwrap())
        .bind(1_i64)
        .execute(&pool)
        .await
        .unwrap();
    };
    let keys = ["a", "b", "Ä", "", "a longer key: 42"];
    for key in keys {
        old(&placed(key, 0)).await;
    }
    for _ in 0..64 {
        old(&event("orders.order.placed", None, &json!({}))).await;
    }
    db.migrate().await.unwrap();
    for key in keys {
        old(&placed(key, 1)).await;
        db.enqueue(&placed(key, 2)).await;
    }
    let split = "SELECT count(*) FROM (SELECT ordering_key FROM outbox WHERE ordering_key IS NOT NULL \
        GROUP BY ordering_key HAVING count(DISTINCT part) > 1) AS split";
    assert_eq!(db.number(split).await, 0, "a key has one partition");
    let spread = "SELECT count(DISTINCT part) FROM outbox WHERE ordering_key IS NULL";
    assert_eq!(db.number(spread).await, 16, "rows without a key are spread");
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let relays = [db.relay(&hub, config()), db.relay(&hub, config())];
    let mut events = orders.distinct(keys.len() * 3 + 64).await;
    events.retain(|event| event.partition_key.is_some());
    assert_ordered(&events);
    db.until(ALL, 0).await;
    drop(relays);
}
