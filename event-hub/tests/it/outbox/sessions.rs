//! What a relay's connection may be like: the application's, and its own.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tramline_event_hub::{inbox, outbox};

use super::*;

/// As a pooler does that hands sessions around: the next statement runs where neither the locks nor the relay's own
/// settings are.
const ELSEWHERE: &str = "CREATE FUNCTION elsewhere() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        PERFORM pg_advisory_unlock_all(), set_config('tramline.relay', '', false); RETURN NULL; END $$; \
    CREATE TRIGGER elsewhere AFTER DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION elsewhere();";

const HERE_AGAIN: &str = "DROP TRIGGER elsewhere ON outbox";

/// Locks that are gone are no locks: nothing more is sent, and it is said why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_locks_are_gone_sends_nothing_and_says_so() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut rare = config();
    // Nobody looks who has which lock before the next rows are to be loaded.
    rare.share_interval = Duration::from_secs(3_600);
    let relay = db.relay(&hub, rare);
    // Only then has it looked: the next time is in an hour.
    relay.until("all partitions", |status| status.partitions == 16).await;
    db.execute(ELSEWHERE).await;
    db.enqueue(&placed("a", 0)).await;
    orders.next().await;
    db.until(ALL, 0).await;
    db.enqueue(&placed("a", 1)).await;
    // Another sees that they are free, and has them.
    let other = db.relay(&hub, config());
    let status = other.until("all partitions", |status| status.partitions == 16).await;
    assert_eq!(status.relays, 1);
    db.execute(HERE_AGAIN).await;
    other.until("it is sent", |status| status.sent == 1).await;
    assert_eq!(relay.status().sent, 1, "only what it sent while it had the locks");
    orders.next().await;
    other.stop().await;

    // When it looks itself, it says why, and begins anew.
    db.execute(&ELSEWHERE[ELSEWHERE.find("CREATE TRIGGER").unwrap()..]).await;
    relay.stop().await;
    let mut patient = config();
    // Long enough to be seen.
    (patient.first_delay, patient.max_pause) = (Duration::from_secs(2), Duration::from_secs(2));
    let relay = db.relay(&hub, patient);
    db.enqueue(&placed("a", 2)).await;
    let told = |error: &String| error.contains("give the relay a direct connection");
    relay.until("why", |status| status.last_error.as_ref().is_some_and(told)).await;
    db.execute(HERE_AGAIN).await;
    db.enqueue(&placed("a", 3)).await;
    db.until(ALL, 0).await;
    relay.stop().await;
}

/// The pool's own way to prepare a connection holds for the relay too: here, which schema the outbox is in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_works_as_the_pool_prepares_its_connections() {
    let Some(url) = devkit::engines::fresh_database().await else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .after_connect(|conn, _| {
            Box::pin(async move {
                sqlx::query("CREATE SCHEMA IF NOT EXISTS mine").execute(&mut *conn).await?;
                sqlx::raw_sql("SET search_path TO mine; SET default_transaction_isolation TO serializable")
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .connect_with(options.clone())
        .await
        .unwrap();
    let db = Database::Postgres(pool.clone());
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");

    // The password changes while the service lives, as its pool is told.
    let user = format!("rotated_{}", uuid::Uuid::new_v4().simple());
    db.execute(&format!("CREATE ROLE {user} LOGIN SUPERUSER PASSWORD 'new'")).await;
    pool.set_connect_options(options.username(&user).password("new"));
    let beside = Database::at(&url).await;
    beside
        .execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename <> '{user}'"
        ))
        .await;
    let relay = db.relay(&hub, config());
    for n in 0..3 {
        db.enqueue(&placed("a", n)).await;
        orders.next().await;
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'tramline outbox relay' AND datname = current_database() AND {n} < 2"
        );
        db.execute(&sql).await;
    }
    db.until(ALL, 0).await;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tramline outbox relay' AND usename = '{user}'"
    );
    // One that was cut off is there until the server sees it.
    db.until(&sql, 1).await;
    assert_eq!(
        db.number("SELECT count(*) FROM pg_tables WHERE tablename = 'outbox' AND schemaname <> 'mine'").await,
        0
    );
    relay.stop().await;
    pool.close().await;
    beside.execute(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
}

/// Two replicas start at once where transactions see the tables as they were at their first statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_migrate_at_once_under_any_isolation() {
    let Some(url) = devkit::engines::fresh_database().await else { return };
    let strict = PgPoolOptions::new()
        .max_connections(4)
        .after_connect(|conn, _| {
            Box::pin(async move {
                sqlx::query("SET default_transaction_isolation TO 'repeatable read'").execute(conn).await?;
                Ok(())
            })
        })
        .connect(&url)
        .await
        .unwrap();
    let db = Database::at(&url).await;
    // Both wait for the lock, with their snapshots taken if they take one.
    let mut first = db.begin().await;
    first.execute("SELECT pg_advisory_xact_lock(1953653101, 0)").await;
    let migrate = || {
        tokio::spawn({
            let strict = strict.clone();
            async move {
                outbox::postgres::migrate(&strict).await?;
                inbox::postgres::migrate(&strict).await
            }
        })
    };
    let (one, other) = (migrate(), migrate());
    db.until(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 1953653101 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        2,
    )
    .await;
    first.rollback().await;
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(db.number("SELECT count(*) FROM tramline_schema").await, 2);
}
