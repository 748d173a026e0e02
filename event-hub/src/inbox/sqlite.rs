//! The inbox in SQLite.

use std::future::Future;
use std::time::Duration;

use sqlx::{SqliteConnection, SqlitePool};

use crate::envelope::EventId;
use crate::error::{Error, ErrorKind};
use crate::inbox::{BATCH, cutoff, first_time, pruned};
use crate::outbox::schema::{self, Part};

const PART: Part = Part { name: "inbox", steps: &[include_str!("../../migrations/sqlite/inbox_0001.sql")] };

const RECORD: &str =
    "INSERT INTO inbox (consumer, event_id, handled_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

const PRUNE: &str = "DELETE FROM inbox WHERE rowid IN (SELECT rowid FROM inbox WHERE handled_at < $1 ORDER BY handled_at LIMIT $2)";

/// Makes or upgrades the table `inbox`. Safe with several replicas at once.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
pub async fn migrate(pool: &SqlitePool) -> Result<(), Error> {
    schema::sqlite(pool, &PART).await
}

/// Marks an event as handled by `consumer`, in the handler's transaction; true when it was not before.
///
/// The transaction should have begun with `BEGIN IMMEDIATE`, as everything that writes here.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
///
/// # Cancel safety
///
/// When dropped the mark may or may not be in the transaction: roll it back.
pub async fn record(conn: &mut SqliteConnection, consumer: &str, id: &EventId) -> Result<bool, Error> {
    let done = sqlx::query(RECORD)
        .bind(consumer)
        .bind(id.as_str())
        .bind(cutoff(Duration::ZERO))
        .execute(conn)
        .await
        .map_err(|e| Error::new(ErrorKind::Store, "recording an event").with_source(e))?;
    Ok(first_time(consumer, done.rows_affected()))
}

/// Removes marks older than `retention`, some at a time; answers how many. Call it now and then, with
/// [`RETENTION`](crate::inbox::RETENTION).
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails; what was removed before stays removed.
///
/// # Cancel safety
///
/// When dropped, some are removed.
pub async fn prune(pool: &SqlitePool, retention: Duration) -> Result<u64, Error> {
    let before = cutoff(retention);
    let mut removed = 0;
    loop {
        let rows = sqlx::query(PRUNE)
            .bind(before)
            .bind(BATCH)
            .execute(pool)
            .await
            .map_err(|e| Error::new(ErrorKind::Store, "pruning the inbox").with_source(e))?
            .rows_affected();
        removed += rows;
        pruned(rows);
        if rows < BATCH.unsigned_abs() {
            return Ok(removed);
        }
    }
}

/// Prunes every `every` until `shutdown`, and never more often. [`RETENTION`](crate::inbox::RETENTION) and
/// [`PRUNE_EVERY`](crate::inbox::PRUNE_EVERY) are good values. A failure is logged, and the next turn tries again.
///
/// # Cancel safety
///
/// When dropped, some are removed.
pub async fn run(
    pool: SqlitePool,
    retention: Duration,
    every: Duration,
    shutdown: impl Future<Output = ()> + Send,
) {
    crate::inbox::run(|| prune(&pool, retention), every, shutdown).await;
}
