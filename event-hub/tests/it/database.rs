//! Both databases behind one face, so that every test of outbox and inbox holds both.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::outbox::{OutboxWaker, Parked, RelayConfig, RelayMonitor, RelayStatus, Selection};
use tramline_event_hub::{Error, Event, EventId, Hub, inbox, outbox};

/// A database of the test's own.
#[derive(Debug)]
pub(crate) enum Database {
    Postgres(PgPool),
    Sqlite(SqlitePool, #[allow(dead_code, reason = "removes the folder when dropped")] TempDir),
}

pub(crate) enum Tx {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// A relay that runs. Aborted when dropped, as by a crash.
pub(crate) struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
    pub(crate) waker: OutboxWaker,
    monitor: RelayMonitor,
}

// === impl Database ===

impl Database {
    /// None, said aloud, where there is no PostgreSQL.
    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self::at(&devkit::engines::fresh_database().await?).await)
    }

    pub(crate) async fn at(url: &str) -> Self {
        Self::Postgres(PgPoolOptions::new().max_connections(8).connect(url).await.unwrap())
    }

    pub(crate) async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
        Some(Self::Sqlite(pool, folder))
    }

    pub(crate) async fn migrate(&self) -> Result<(), Error> {
        match self {
            Self::Postgres(pool) => {
                outbox::postgres::migrate(pool).await?;
                inbox::postgres::migrate(pool).await
            }
            Self::Sqlite(pool, _) => {
                outbox::sqlite::migrate(pool).await?;
                inbox::sqlite::migrate(pool).await
            }
        }
    }

    pub(crate) async fn begin(&self) -> Tx {
        match self {
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await.unwrap()),
            Self::Sqlite(pool, _) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await.unwrap()),
        }
    }

    /// Enqueues and commits.
    pub(crate) async fn enqueue(&self, event: &Event) {
        let mut tx = self.begin().await;
        tx.enqueue(event).await;
        tx.commit().await;
    }

    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(pool) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop).unwrap(),
            Self::Sqlite(pool, _) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop).unwrap(),
        }
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Postgres(pool) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap(),
            Self::Sqlite(pool, _) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap(),
        }
    }

    /// Asks until the answer is there; the test's own time limit ends it.
    pub(crate) async fn until(&self, sql: &str, wanted: i64) {
        let asked = async {
            while self.number(sql).await != wanted {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(crate::support::SOON, asked).await.is_err() {
            panic!("{sql} is {}, not {wanted}", self.number(sql).await);
        }
    }

    pub(crate) fn relay(&self, hub: &Hub, config: RelayConfig) -> Running {
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let (task, waker, monitor) = match self {
            Self::Postgres(pool) => {
                let relay = outbox::postgres::Relay::new(pool.clone(), hub.clone(), config);
                let (waker, monitor) = (relay.waker(), relay.monitor());
                (tokio::spawn(relay.run(stopped)), waker, monitor)
            }
            Self::Sqlite(pool, _) => {
                let relay = outbox::sqlite::Relay::new(pool.clone(), hub.clone(), config);
                let (waker, monitor) = (relay.waker(), relay.monitor());
                (tokio::spawn(relay.run(stopped)), waker, monitor)
            }
        };
        Running { task, stop, waker, monitor }
    }

    pub(crate) async fn parked(&self, after: i64, limit: u32) -> Vec<Parked> {
        match self {
            Self::Postgres(pool) => outbox::postgres::parked(pool, after, limit).await.unwrap(),
            Self::Sqlite(pool, _) => outbox::sqlite::parked(pool, after, limit).await.unwrap(),
        }
    }

    pub(crate) async fn resume(&self, which: Selection<'_>) -> u64 {
        match self {
            Self::Postgres(pool) => outbox::postgres::resume(pool, which).await.unwrap(),
            Self::Sqlite(pool, _) => outbox::sqlite::resume(pool, which).await.unwrap(),
        }
    }

    pub(crate) async fn discard(&self, which: Selection<'_>) -> u64 {
        match self {
            Self::Postgres(pool) => outbox::postgres::discard(pool, which).await.unwrap(),
            Self::Sqlite(pool, _) => outbox::sqlite::discard(pool, which).await.unwrap(),
        }
    }

    /// Prunes the inbox for as long as it is polled.
    pub(crate) async fn run_inbox(&self, retention: Duration, every: Duration) {
        match self {
            Self::Postgres(pool) => {
                inbox::postgres::run(pool.clone(), retention, every, std::future::pending()).await;
            }
            Self::Sqlite(pool, _) => {
                inbox::sqlite::run(pool.clone(), retention, every, std::future::pending()).await;
            }
        }
    }

    pub(crate) async fn prune(&self, retention: Duration) -> u64 {
        match self {
            Self::Postgres(pool) => inbox::postgres::prune(pool, retention).await.unwrap(),
            Self::Sqlite(pool, _) => inbox::sqlite::prune(pool, retention).await.unwrap(),
        }
    }
}

// === impl Tx ===

impl Tx {
    pub(crate) async fn enqueue(&mut self, event: &Event) {
        match self {
            Self::Postgres(tx) => outbox::postgres::enqueue(tx, event).await.unwrap(),
            Self::Sqlite(tx) => outbox::sqlite::enqueue(tx, event).await.unwrap(),
        }
    }

    pub(crate) async fn record(&mut self, consumer: &str, id: &EventId) -> Result<bool, Error> {
        match self {
            Self::Postgres(tx) => inbox::postgres::record(tx, consumer, id).await,
            Self::Sqlite(tx) => inbox::sqlite::record(tx, consumer, id).await,
        }
    }

    pub(crate) async fn execute(&mut self, sql: &str) {
        match self {
            Self::Postgres(tx) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **tx).await.map(drop).unwrap()
            }
            Self::Sqlite(tx) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **tx).await.map(drop).unwrap(),
        }
    }

    pub(crate) async fn commit(self) {
        match self {
            Self::Postgres(tx) => tx.commit().await.unwrap(),
            Self::Sqlite(tx) => tx.commit().await.unwrap(),
        }
    }

    pub(crate) async fn rollback(self) {
        match self {
            Self::Postgres(tx) => tx.rollback().await.unwrap(),
            Self::Sqlite(tx) => tx.rollback().await.unwrap(),
        }
    }
}

// === impl Running ===

impl Running {
    pub(crate) fn status(&self) -> RelayStatus {
        self.monitor.status()
    }

    /// Waits until the relay's state is a wanted one; the test's own time limit ends it.
    pub(crate) async fn until(&self, what: &str, wanted: impl FnMut(&RelayStatus) -> bool) -> RelayStatus {
        let mut monitor = self.monitor.clone();
        match tokio::time::timeout(Duration::from_secs(30), monitor.wait_for(wanted)).await {
            Ok(status) => status,
            Err(_) => panic!("{what}, but it is {:?}", self.status()),
        }
    }

    /// Drains it: told at once, awaited by whoever wants to.
    pub(crate) fn stop(mut self) -> impl Future<Output = ()> {
        self.stop.cancel();
        async move { (&mut self.task).await.unwrap() }
    }

    /// Ends it where it stands, as a crash would.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs each test on both databases.
macro_rules! on_both {
    ($($(#[$attr:meta])* $test:ident),* $(,)?) => {
        mod sqlite {
            $($(#[$attr])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(db) = crate::database::Database::sqlite().await {
                    super::$test(db).await;
                }
            })*
        }
        mod postgres {
            $($(#[$attr])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(db) = crate::database::Database::postgres().await {
                    super::$test(db).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;
