//! The relay's statements. A file is one process's, which has one relay: it owns everything.

use sqlx::{FromRow, SqlitePool};

use crate::outbox::parts::Parts;
use crate::outbox::shares::View;
use crate::outbox::sqlite::sql;
use crate::outbox::store::{Changes, Depth, Row, Session, Store, Taken, Wanted, now};

#[derive(Debug)]
pub(super) struct SqliteStore {
    pub(super) pool: SqlitePool,
    /// Whether sent rows are kept for a while.
    pub(super) keeps_sent: bool,
}

pub(super) struct SqliteSession {
    pool: SqlitePool,
    keeps_sent: bool,
    /// The one partition, or nothing once it is taken.
    free: Parts,
}

#[derive(FromRow)]
struct Loaded {
    seq: i64,
    ordering_key: Option<String>,
    body: Vec<u8>,
    created_at: i64,
    attempts: u32,
    refused: u32,
    refused_since: i64,
}

// === impl SqliteStore ===

impl Store for SqliteStore {
    type Session = SqliteSession;

    async fn open(&mut self) -> Result<Option<SqliteSession>, sqlx::Error> {
        let free = Parts::from_iter([0]);
        Ok(Some(SqliteSession { pool: self.pool.clone(), keeps_sent: self.keeps_sent, free }))
    }
}

// === impl SqliteSession ===

impl Session for SqliteSession {
    async fn view(&mut self) -> Result<View, sqlx::Error> {
        Ok(View { others: Vec::new(), free: self.free })
    }

    async fn take(&mut self, parts: Parts, keep: &[i64]) -> Result<Taken, sqlx::Error> {
        let again = sqlx::query(sql::RESET).bind(json(&keep)).execute(&self.pool).await?;
        if !keep.is_empty() {
            sqlx::query(sql::KEEP).bind(json(&keep)).execute(&self.pool).await?;
        }
        self.free = Parts::NONE;
        Ok(Taken { parts, again: again.rows_affected() })
    }

    async fn give(&mut self, _parts: Parts) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn retire(&mut self) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn load(&mut self, want: &Wanted<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let start = want.from.first().map_or("", |(_, start)| start.as_str());
        let rows: Vec<Loaded> = sqlx::query_as(sql::LOAD)
            .bind(start)
            .bind(want.now)
            .bind(json(&want.except))
            .bind(json(&want.except_keys))
            .bind(want.lane)
            .bind(want.keyed)
            .bind(want.keyless)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    async fn apply(&mut self, changes: &Changes) -> Result<(), sqlx::Error> {
        // One transaction, since each costs a write-ahead log entry; immediate, since upgrading a read fails.
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if !changes.gone.is_empty() {
            let gone = if self.keeps_sent {
                sqlx::query(sql::SENT).bind(json(&changes.gone)).bind(now())
            } else {
                sqlx::query(sql::GONE).bind(json(&changes.gone))
            };
            gone.execute(&mut *tx).await?;
        }
        if !changes.confirmed.is_empty() {
            sqlx::query(sql::CONFIRMED).bind(json(&changes.confirmed)).execute(&mut *tx).await?;
        }
        for failed in &changes.failed {
            sqlx::query(sql::FAIL)
                .bind(failed.seq)
                .bind(failed.due_at)
                .bind(&failed.error)
                .bind(failed.refused)
                .bind(failed.refused_since)
                .execute(&mut *tx)
                .await?;
        }
        for (seq, reason) in &changes.parked {
            sqlx::query(sql::PARK).bind(seq).bind(reason).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    async fn depth(&mut self, limit: i64) -> Result<Depth, sqlx::Error> {
        let (waiting, unsettled, parked, oldest) =
            sqlx::query_as(sql::DEPTH).bind(limit).fetch_one(&self.pool).await?;
        Ok(Depth { waiting, unsettled, parked, oldest })
    }

    async fn prune(&mut self, before: i64, limit: i64) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(sql::PRUNE).bind(before).bind(limit).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }
}

// === impl Loaded ===

impl From<Loaded> for Row {
    fn from(row: Loaded) -> Self {
        Self {
            seq: row.seq,
            part: 0,
            key: row.ordering_key,
            body: row.body,
            created_at: row.created_at,
            attempts: row.attempts,
            refused: row.refused,
            refused_since: row.refused_since,
        }
    }
}

/// A list as a parameter: SQLite has no arrays.
pub(super) fn json(list: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string(list).expect("numbers and strings always serialize")
}
