//! Tables that this crate brings into a database of someone else's.
//!
//! A part's version is a row of `tramline_schema`, away from the application's own migrations; its steps
//! run in one transaction under a lock, so that two replicas may start at once.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// A set of tables with its steps, oldest first. Steps are only ever added.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) steps: &'static [&'static str],
}

/// How long a statement of an unattended loop may take. One that has no answer by then has lost its connection,
/// which the network alone would notice after a quarter of an hour.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS tramline_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)";

/// «tram» in ASCII: the lock's number only has to be ours.
#[cfg(feature = "postgres")]
pub(crate) const LOCK_CLASS: i32 = 0x7472_616d;

#[cfg(feature = "postgres")]
pub(crate) async fn postgres(pool: &sqlx::PgPool, part: &Part) -> Result<(), Error> {
    let work = async {
        // Under a stricter default the second of two would see the tables as they were before it waited.
        let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1, 0)").bind(LOCK_CLASS).execute(&mut *tx).await?;
        sqlx::raw_sql(TABLE).execute(&mut *tx).await?;
        let version: Option<i32> = sqlx::query_scalar("SELECT version FROM tramline_schema WHERE part = $1")
            .bind(part.name)
            .fetch_optional(&mut *tx)
            .await?;
        let done = version.map_or(0, as_index);
        if done < part.steps.len() {
            sqlx::raw_sql(PATIENCE).execute(&mut *tx).await?;
        }
        for step in part.steps.iter().skip(done) {
            sqlx::raw_sql(*step).execute(&mut *tx).await?;
        }
        sqlx::query(RAISE_POSTGRES)
            .bind(part.name)
            .bind(as_version(part.steps.len().max(done)))
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    };
    work.await.map_err(|e| failed(part, e))
}

#[cfg(feature = "sqlite")]
pub(crate) async fn sqlite(pool: &sqlx::SqlitePool, part: &Part) -> Result<(), Error> {
    let work = async {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(TABLE).execute(&mut *tx).await?;
        let version: Option<i32> = sqlx::query_scalar("SELECT version FROM tramline_schema WHERE part = ?")
            .bind(part.name)
            .fetch_optional(&mut *tx)
            .await?;
        let done = version.map_or(0, as_index);
        for step in part.steps.iter().skip(done) {
            sqlx::raw_sql(*step).execute(&mut *tx).await?;
        }
        sqlx::query(RAISE_SQLITE)
            .bind(part.name)
            .bind(as_version(part.steps.len().max(done)))
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    };
    work.await.map_err(|e| failed(part, e))
}

/// Rewriting a long table may take longer than the pool lets a statement take. Waiting for it must not: everyone
/// who writes there would wait behind us.
#[cfg(feature = "postgres")]
const PATIENCE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s'";

#[cfg(feature = "postgres")]
const RAISE_POSTGRES: &str = "INSERT INTO tramline_schema (part, version) VALUES ($1, $2) \
    ON CONFLICT (part) DO UPDATE SET version = excluded.version";

#[cfg(feature = "sqlite")]
const RAISE_SQLITE: &str = "INSERT INTO tramline_schema (part, version) VALUES (?, ?) \
    ON CONFLICT (part) DO UPDATE SET version = excluded.version";

fn as_index(version: i32) -> usize {
    usize::try_from(version).unwrap_or(0)
}

fn as_version(steps: usize) -> i32 {
    i32::try_from(steps).unwrap_or(i32::MAX)
}

fn failed(part: &Part, error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Store, format!("migrating {}", part.name)).with_source(error)
}
