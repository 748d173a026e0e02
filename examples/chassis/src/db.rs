//! One store, two databases: PostgreSQL and SQLite behind the same statements.
//!
//! A statement is written once, with `$1` placeholders, for both; where the dialects differ, two texts stand
//! side by side in [`Dialect::pick`]. What a statement that runs on both keeps to:
//!
//! - ids are UUIDs (`UUID` in PostgreSQL, `TEXT` in SQLite), times `BIGINT` microseconds, money `BIGINT` minor
//!   units, flags `BOOLEAN`, JSON `TEXT`. SQLite columns say `TEXT`, `INTEGER`, `BOOLEAN`, `BLOB`.
//! - `SUM` of a `BIGINT` is a `NUMERIC` in PostgreSQL: write `CAST(SUM(x) AS BIGINT)`.
//! - a `$1` that stands for NULL is typed by its [`Value`]; `CAST($1 AS TEXT) IS NULL OR …` helps PostgreSQL
//!   where nothing else tells it the type.
//!
//! SQLite has one writer: a [`Tx`] holds it until commit, rollback or drop. Never call [`Db::execute`] or
//! [`Db::begin`] while you hold a `Tx`: it would wait for itself until the time-out.

mod args;
mod builder;
mod contract;
mod error;
mod events;
mod migrate;
mod postgres;
mod row;
mod sqlite;
mod tx;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{PgPool, SqlSafeStr, SqlitePool};
use tokio::sync::watch;
use tramline_event_hub::outbox::{OutboxWaker, RelayMonitor};

pub use self::args::{Args, Bind, Value};
pub use self::builder::SqlBuilder;
pub use self::error::DbError;
pub use self::events::enqueue;
pub use self::migrate::Migration;
pub use self::row::{FromColumn, Row};
pub use self::tx::{Conn, Tx};
pub use sqlx::{PgConnection, SqliteConnection};

use crate::config::ConfigError;

/// A handle to a database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Db(Arc<Shared>);

/// How a [`Db`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DbConfig {
    /// The name that the server shows for our connections.
    pub name: String,
    /// Connections to PostgreSQL, and readers of SQLite.
    ///
    /// Ten: five services of two replicas stay at PostgreSQL's default of 100, and a service that needs more
    /// than ten at once is waiting for its disk, not for connections.
    pub connections: u32,
    /// How long a statement waits for a connection. Below the gateway's time-out, so that the answer is ours.
    pub acquire_timeout: Duration,
    /// How long PostgreSQL works at one statement.
    pub statement_timeout: Duration,
    /// Whether a SQLite commit survives a power cut, at the price of one `fsync`. PostgreSQL decides for itself.
    pub durable: bool,
}

/// Which database is behind a [`Db`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every statement with two texts depends on there being two")]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

#[derive(Debug)]
struct Shared {
    pools: Pools,
    /// Whether all migrations ran; readiness and consumers wait for it.
    migrated: watch::Sender<bool>,
    /// Of the relay that [`Db::run_relay`] runs, once it does.
    relay: Mutex<Option<RelayHandles>>,
}

type RelayHandles = (OutboxWaker, RelayMonitor);

#[derive(Debug)]
enum Pools {
    Postgres(PgPool),
    Sqlite {
        /// One connection: SQLite has one writer, and a queue in front of it is fairer than a busy loop.
        writer: SqlitePool,
        readers: SqlitePool,
    },
}

// === impl Db ===

impl Db {
    /// Opens `postgres://…` or `sqlite:path`. Connections are made when they are needed: a database that is away
    /// is no error here.
    ///
    /// Must be called inside the runtime.
    ///
    /// # Errors
    ///
    /// A URL that does not parse, with `variable`'s name.
    pub fn open(variable: &str, url: &str, config: &DbConfig) -> Result<Self, ConfigError> {
        let fault = |e: String| ConfigError::new(variable, e);
        let scheme = url.split(':').next().unwrap_or_default();
        let pools = match scheme {
            "postgres" | "postgresql" => Pools::Postgres(postgres::open(url, config).map_err(fault)?),
            "sqlite" => {
                let (writer, readers) = sqlite::open(url, config).map_err(fault)?;
                Pools::Sqlite { writer, readers }
            }
            _ => return Err(fault("is neither postgres:// nor sqlite:".to_owned())),
        };
        Ok(Self(Arc::new(Shared { pools, migrated: watch::Sender::new(false), relay: Mutex::default() })))
    }

    /// Checks a database URL without opening anything.
    ///
    /// # Errors
    ///
    /// A text without the URL in it.
    pub fn check_url(url: &str) -> Result<(), String> {
        match url.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => postgres::options(url, &DbConfig::default()).map(drop),
            "sqlite" => sqlite::options(url, &DbConfig::default()).map(drop),
            _ => Err("is neither postgres:// nor sqlite:".to_owned()),
        }
    }

    /// Which database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.0.pools {
            Pools::Postgres(_) => Dialect::Postgres,
            Pools::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// Runs a statement that reads, and gives its rows. Give it a `LIMIT`.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn query(&self, sql: impl SqlSafeStr + Send, args: Args) -> Result<Vec<Row>, DbError> {
        let sql = sql.into_sql_str();
        match &self.0.pools {
            Pools::Postgres(pool) => postgres::query(pool, sql, args).await,
            Pools::Sqlite { readers, .. } => sqlite::query(readers, sql, args).await,
        }
    }

    /// Like [`query`](Self::query), for at most one row.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn query_opt(&self, sql: impl SqlSafeStr + Send, args: Args) -> Result<Option<Row>, DbError> {
        Ok(self.query(sql, args).await?.into_iter().next())
    }

    /// Like [`query`](Self::query), for one row that must be there.
    ///
    /// # Errors
    ///
    /// The database's, or that there was no row.
    pub async fn query_one(&self, sql: impl SqlSafeStr + Send, args: Args) -> Result<Row, DbError> {
        self.query_opt(sql, args).await?.ok_or_else(DbError::no_row)
    }

    /// Runs one statement that writes, and gives the number of rows it changed. For a statement with
    /// `RETURNING`, and for more than one statement, use [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the statement may or may not have run.
    pub async fn execute(&self, sql: impl SqlSafeStr + Send, args: Args) -> Result<u64, DbError> {
        let sql = sql.into_sql_str();
        match &self.0.pools {
            Pools::Postgres(pool) => postgres::execute(pool, sql, args).await,
            Pools::Sqlite { writer, .. } => sqlite::execute(writer, sql, args).await,
        }
    }

    /// Begins a transaction. In SQLite it holds the one writer from the start (`BEGIN IMMEDIATE`), so it never
    /// fails half-way because another wrote.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(match &self.0.pools {
            Pools::Postgres(pool) => Tx::postgres(self.clone(), pool.begin().await?),
            Pools::Sqlite { writer, .. } => {
                Tx::sqlite(self.clone(), writer.begin_with("BEGIN IMMEDIATE").await?)
            }
        })
    }

    /// Asks the database whether it is there.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.query("SELECT 1", Args::new()).await.map(drop)
    }

    /// Runs the migrations that have not run yet, in their order, under a lock that replicas share; then those
    /// of the outbox and the inbox.
    ///
    /// # Errors
    ///
    /// The database's, or a migration that was changed after it ran.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), DbError> {
        migrate::run(self, migrations).await
    }

    /// Marks the schema as whole: [`migrated`](Self::migrated) resolves from now on.
    pub fn set_migrated(&self) {
        self.0.migrated.send_replace(true);
    }

    /// Whether the schema is whole.
    #[must_use]
    pub fn is_migrated(&self) -> bool {
        *self.0.migrated.borrow()
    }

    /// Waits until the schema is whole.
    pub async fn migrated(&self) {
        // The sender lives in `self`, so the wait cannot end in an error.
        let _ = self.0.migrated.subscribe().wait_for(|done| *done).await;
    }

    /// The pool, when it is PostgreSQL.
    #[must_use]
    pub fn as_postgres(&self) -> Option<&PgPool> {
        match &self.0.pools {
            Pools::Postgres(pool) => Some(pool),
            Pools::Sqlite { .. } => None,
        }
    }

    /// The writer's pool, when it is SQLite.
    #[must_use]
    pub fn as_sqlite(&self) -> Option<&SqlitePool> {
        match &self.0.pools {
            Pools::Postgres(_) => None,
            Pools::Sqlite { writer, .. } => Some(writer),
        }
    }

    /// Closes all connections, once what they do is done.
    pub async fn close(&self) {
        match &self.0.pools {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite { writer, readers } => {
                // The writer last: the last connection to close folds the write-ahead log back.
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

// === impl Dialect ===

impl Dialect {
    /// The text for this database.
    #[must_use]
    pub const fn pick(self, postgres: &'static str, sqlite: &'static str) -> &'static str {
        match self {
            Self::Postgres => postgres,
            Self::Sqlite => sqlite,
        }
    }
}

// === impl DbConfig ===

impl Default for DbConfig {
    fn default() -> Self {
        Self {
            name: "tramline".to_owned(),
            connections: 10,
            acquire_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
            durable: true,
        }
    }
}

#[cfg(test)]
mod tests;
