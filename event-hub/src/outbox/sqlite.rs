//! The outbox in SQLite.

use std::future::Future;

use sqlx::{SqliteConnection, SqlitePool};

use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::hub::Hub;
use crate::outbox::relay::Core;
use crate::outbox::schema::{self, Part};
use crate::outbox::store::{Changes, Depth, Row, Session, Store, Wanted, now};
use crate::outbox::{OutboxWaker, RelayConfig};

const PART: Part = Part { name: "outbox", steps: &[include_str!("../../migrations/sqlite/outbox_0001.sql")] };

const ENQUEUE: &str = "INSERT INTO outbox (event_id, ordering_key, body, created_at) VALUES (?, ?, ?, ?)";

// The casts: a column's type is only a wish here, and one odd row must not keep all others from loading.
const LOAD: &str = "SELECT seq, ordering_key, attempts, CAST(body AS BLOB) FROM outbox AS this \
    WHERE state = 0 AND due_at <= ?1 AND seq NOT IN (SELECT value FROM json_each(?2)) \
      AND (ordering_key IS NULL OR (ordering_key NOT IN (SELECT value FROM json_each(?3)) AND NOT EXISTS ( \
            SELECT 1 FROM outbox AS held WHERE held.state = 0 AND held.due_at > 0 AND held.due_at > ?1 \
              AND held.ordering_key = this.ordering_key AND held.seq < this.seq))) \
    ORDER BY seq LIMIT ?4";

/// Counted up to 100,000 each, so that the figures of a long outage cost no more than those of a short one.
const DEPTH: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 0 LIMIT 100000) AS waiting), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 1 LIMIT 100000) AS unsettled), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 2 LIMIT 100000) AS parked), \
    (SELECT created_at FROM outbox WHERE state = 0 ORDER BY seq LIMIT 1)";

/// Makes or upgrades the table `outbox`. Safe with several processes at once.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
pub async fn migrate(pool: &SqlitePool) -> Result<(), Error> {
    schema::sqlite(pool, &PART).await
}

/// Writes an event in the caller's transaction: it is sent when, and only when, that commits.
///
/// Call [`OutboxWaker::notify`] after the commit, or the event waits for the relay's next look.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
///
/// # Cancel safety
///
/// When dropped the event may or may not be in the transaction: roll it back.
pub async fn enqueue(conn: &mut SqliteConnection, event: &Event) -> Result<(), Error> {
    let body = event.to_json();
    sqlx::query(ENQUEUE)
        .bind(event.id.as_str())
        .bind(event.partition_key.as_deref())
        .bind(std::str::from_utf8(&body).expect("JSON is UTF-8"))
        .bind(now())
        .execute(conn)
        .await
        .map_err(|e| Error::new(ErrorKind::Store, "enqueue").with_source(e))?;
    Ok(())
}

/// Sends what was committed. Run one per database.
#[derive(Debug)]
pub struct Relay {
    core: Core<SqliteStore>,
}

#[derive(Debug)]
struct SqliteStore {
    pool: SqlitePool,
}

struct SqliteSession {
    pool: SqlitePool,
}

// === impl Relay ===

impl Relay {
    /// A relay from the database of `pool` to `hub`. Give it the pool that may write.
    #[must_use]
    pub fn new(pool: SqlitePool, hub: Hub, config: RelayConfig) -> Self {
        Self { core: Core::new(SqliteStore { pool }, hub, config, OutboxWaker::default()) }
    }

    /// Wakes this relay after a commit.
    #[must_use]
    pub fn waker(&self) -> OutboxWaker {
        self.core.waker()
    }

    /// Sends until `shutdown` completes and the confirms that are out have come, or their time is over.
    ///
    /// Hub or database away: it waits and goes on.
    ///
    /// # Cancel safety
    ///
    /// When dropped, what is not confirmed is sent again by the next relay.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        self.core.run(shutdown).await;
    }
}

// === impl SqliteStore ===

impl Store for SqliteStore {
    type Session = SqliteSession;

    async fn open(&mut self) -> Result<Option<SqliteSession>, sqlx::Error> {
        Ok(Some(SqliteSession { pool: self.pool.clone() }))
    }
}

// === impl SqliteSession ===

impl Session for SqliteSession {
    async fn reset(&mut self, keep: &[i64]) -> Result<u64, sqlx::Error> {
        sqlx::query(
            "UPDATE outbox SET state = 0 WHERE state = 1 AND seq NOT IN (SELECT value FROM json_each(?))",
        )
        .bind(json(&keep))
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected())
    }

    async fn load(&mut self, want: &Wanted<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let rows: Vec<(i64, Option<String>, u32, Vec<u8>)> = sqlx::query_as(LOAD)
            .bind(want.now)
            .bind(json(&want.except))
            .bind(json(&want.except_keys))
            .bind(want.limit)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|(seq, key, attempts, body)| Row { seq, key, attempts, body }).collect())
    }

    async fn apply(&mut self, changes: &Changes) -> Result<(), sqlx::Error> {
        // One transaction, since each costs a write-ahead log entry; immediate, since upgrading a read fails.
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if !changes.gone.is_empty() {
            sqlx::query("DELETE FROM outbox WHERE seq IN (SELECT value FROM json_each(?))")
                .bind(json(&changes.gone))
                .execute(&mut *tx)
                .await?;
        }
        if !changes.confirmed.is_empty() {
            sqlx::query(
                "UPDATE outbox SET state = 1 WHERE state = 0 AND seq IN (SELECT value FROM json_each(?))",
            )
            .bind(json(&changes.confirmed))
            .execute(&mut *tx)
            .await?;
        }
        for failed in &changes.failed {
            sqlx::query("UPDATE outbox SET attempts = attempts + 1, due_at = ?, last_error = ? WHERE seq = ? AND state = 0")
                .bind(failed.due_at)
                .bind(&failed.error)
                .bind(failed.seq)
                .execute(&mut *tx)
                .await?;
        }
        for (seq, error) in &changes.parked {
            sqlx::query("UPDATE outbox SET state = 2, last_error = ? WHERE seq = ?")
                .bind(error)
                .bind(seq)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }

    async fn depth(&mut self) -> Result<Depth, sqlx::Error> {
        let (waiting, unsettled, parked, oldest) = sqlx::query_as(DEPTH).fetch_one(&self.pool).await?;
        Ok(Depth { waiting, unsettled, parked, oldest })
    }
}

/// A list as a parameter: SQLite has no arrays.
fn json(list: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string(list).expect("numbers and strings always serialize")
}
