//! The relay's session: its locks, and every statement that they protect.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{FromRow, PgConnection, PgPool};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::outbox::parts::Parts;
use crate::outbox::postgres::listen::{Held, listen};
use crate::outbox::postgres::sql;
use crate::outbox::schema::LOCK_CLASS;
use crate::outbox::shares::View;
use crate::outbox::store::{Changes, Depth, Row, Session, Store, Taken, Wanted, now};
use crate::outbox::waker::Signals;

#[derive(Debug)]
pub(super) struct PostgresStore {
    pub(super) pool: PgPool,
    pub(super) timeout: Duration,
    /// How long the server keeps the session of a relay that says nothing.
    pub(super) idle: Duration,
    /// Whether sent rows are kept for a while.
    pub(super) keeps_sent: bool,
    /// Connected, but a relay of an older version has the outbox.
    pub(super) standby: Option<(PgConnection, String)>,
    pub(super) signals: Signals,
}

/// The locks live in this connection, and every statement of the relay goes through it: who can still read and
/// write here has them.
pub(super) struct PostgresSession {
    conn: PgConnection,
    /// What this session is known by at the server: where it is not, the locks are someone else's or nobody's.
    name: String,
    /// What the numbers of this outbox's locks begin with.
    base: i64,
    keeps_sent: bool,
    held: Held,
    _listener: AbortOnDropHandle<()>,
}

/// What a lock's last part says where it is no partition: that its holder shares the work.
const MEMBER: i32 = 65_535;

#[derive(FromRow)]
struct Loaded {
    seq: i64,
    part: i16,
    ordering_key: Option<String>,
    body: String,
    created_at: i64,
    attempts: i32,
    refused: i32,
    refused_since: i64,
}

// === impl PostgresStore ===

impl Store for PostgresStore {
    type Session = PostgresSession;

    async fn open(&mut self) -> Result<Option<PostgresSession>, sqlx::Error> {
        let (mut conn, name) = match self.standby.take() {
            Some(standby) => standby,
            None => {
                // Out of the pool and not beside it: with its newest password, and as its `after_connect` has it.
                let mut conn = self.pool.acquire().await?.detach();
                let name = Uuid::now_v7().to_string();
                sqlx::query(sql::NAME).bind(&name).execute(&mut conn).await?;
                let millis = |time: Duration| time.as_millis().clamp(1, i32::MAX as u128).to_string();
                sqlx::query(sql::SETTINGS)
                    .bind(millis(self.timeout))
                    .bind(millis(self.idle))
                    .execute(&mut conn)
                    .await?;
                (conn, name)
            }
        };
        let shared: bool = sqlx::query_scalar(sql::OLD_LOCK).bind(LOCK_CLASS).fetch_one(&mut conn).await?;
        if !shared {
            self.standby = Some((conn, name));
            return Ok(None);
        }
        let base: i64 = sqlx::query_scalar(sql::BASE).fetch_one(&mut conn).await?;
        // ORDER: before the first lock: who has some already is another relay, in the same session.
        let locks: Vec<(i32, i32, bool)> =
            sqlx::query_as(sql::VIEW).bind(base).bind(&name).fetch_all(&mut conn).await?;
        if locks.iter().any(|(_, _, own)| *own) {
            return Err(handed_around("another relay's locks are in this session"));
        }
        sqlx::query(sql::JOIN).bind(base).execute(&mut conn).await?;
        let held = Held::default();
        let listener = listen(self.pool.clone(), self.signals.clone(), held.clone(), self.timeout);
        let listener = AbortOnDropHandle::new(tokio::spawn(listener));
        Ok(Some(PostgresSession { conn, name, base, keeps_sent: self.keeps_sent, held, _listener: listener }))
    }
}

// === impl PostgresSession ===

impl Session for PostgresSession {
    async fn view(&mut self) -> Result<View, sqlx::Error> {
        let locks: Vec<(i32, i32, bool)> =
            sqlx::query_as(sql::VIEW).bind(self.base).bind(&self.name).fetch_all(&mut self.conn).await?;
        let mut free = Parts::ALL;
        let mut relays = BTreeMap::new();
        for (pid, part, _) in &locks {
            let (shares, parts) = relays.entry(*pid).or_insert((false, 0));
            match u8::try_from(*part) {
                Ok(part) => {
                    free.remove(part);
                    *parts += 1;
                }
                Err(_) => *shares |= *part == MEMBER,
            }
        }
        let own = |(pid, part, own): &(i32, i32, bool)| own.then_some((*pid, *part));
        let own: Vec<(i32, i32)> = locks.iter().filter_map(own).collect();
        let held: Parts = own.iter().filter_map(|(_, part)| u8::try_from(*part).ok()).collect();
        if held != self.held.parts() || !own.iter().any(|(_, part)| *part == MEMBER) {
            return Err(handed_around("the session's locks are not what they were"));
        }
        let own: Vec<i32> = own.into_iter().map(|(pid, _)| pid).collect();
        // Who ends soon has locks and is no member.
        let others = relays
            .into_iter()
            .filter(|(pid, (shares, _))| *shares && !own.contains(pid))
            .map(|(_, (_, parts))| parts)
            .collect();
        Ok(View { others, free })
    }

    async fn take(&mut self, parts: Parts, keep: &[i64]) -> Result<Taken, sqlx::Error> {
        let wanted: Vec<i32> = parts.iter().map(i32::from).collect();
        let locked: Vec<i32> = sqlx::query_scalar(sql::TAKE)
            .bind(self.base)
            .bind(wanted)
            .bind(&self.name)
            .fetch_all(&mut self.conn)
            .await?;
        let parts: Parts = locked.iter().filter_map(|part| u8::try_from(*part).ok()).collect();
        if parts.is_empty() {
            return Ok(Taken::default());
        }
        // ORDER: before the table is looked at, so that a wake-up from now on counts.
        self.held.add(parts);
        let numbers: Vec<i16> = parts.iter().map(i16::from).collect();
        let again = sqlx::query(sql::RESET).bind(&numbers).bind(keep).execute(&mut self.conn).await?;
        if !keep.is_empty() {
            sqlx::query(sql::KEEP).bind(&numbers).bind(keep).execute(&mut self.conn).await?;
        }
        Ok(Taken { parts, again: again.rows_affected() })
    }

    async fn give(&mut self, parts: Parts) -> Result<(), sqlx::Error> {
        let numbers: Vec<i32> = parts.iter().map(i32::from).collect();
        sqlx::query(sql::GIVE).bind(self.base).bind(numbers).execute(&mut self.conn).await?;
        self.held.remove(parts);
        Ok(())
    }

    async fn retire(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query(sql::RETIRE).bind(self.base).execute(&mut self.conn).await.map(drop)
    }

    async fn load(&mut self, want: &Wanted<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let parts: Vec<i16> = want.from.iter().map(|(part, _)| i16::from(*part)).collect();
        let starts: Vec<&str> = want.from.iter().map(|(_, start)| start.as_str()).collect();
        let rows: Vec<Loaded> = sqlx::query_as(sql::LOAD)
            .bind(parts)
            .bind(starts)
            .bind(want.now)
            .bind(want.except)
            .bind(want.except_keys)
            .bind(want.lane)
            .bind(want.keyed)
            .bind(want.keyless)
            .bind(&self.name)
            .fetch_all(&mut self.conn)
            .await?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    async fn apply(&mut self, changes: &Changes) -> Result<(), sqlx::Error> {
        // No transaction: each statement stands for itself, and mostly there is one.
        let conn = &mut self.conn;
        if !changes.gone.is_empty() {
            let gone = if self.keeps_sent {
                sqlx::query(sql::SENT).bind(&changes.gone).bind(now())
            } else {
                sqlx::query(sql::GONE).bind(&changes.gone)
            };
            gone.execute(&mut *conn).await?;
        }
        if !changes.confirmed.is_empty() {
            sqlx::query(sql::CONFIRMED).bind(&changes.confirmed).execute(&mut *conn).await?;
        }
        if !changes.failed.is_empty() {
            let failed = &changes.failed;
            sqlx::query(sql::FAIL)
                .bind(failed.iter().map(|f| f.seq).collect::<Vec<_>>())
                .bind(failed.iter().map(|f| f.due_at).collect::<Vec<_>>())
                .bind(failed.iter().map(|f| f.error.as_str()).collect::<Vec<_>>())
                .bind(failed.iter().map(|f| i32::try_from(f.refused).unwrap_or(i32::MAX)).collect::<Vec<_>>())
                .bind(failed.iter().map(|f| f.refused_since).collect::<Vec<_>>())
                .execute(&mut *conn)
                .await?;
        }
        if !changes.parked.is_empty() {
            let (rows, reasons): (Vec<i64>, Vec<&str>) =
                changes.parked.iter().map(|(seq, reason)| (*seq, reason.as_str())).unzip();
            sqlx::query(sql::PARK).bind(rows).bind(reasons).execute(&mut *conn).await?;
        }
        Ok(())
    }

    async fn depth(&mut self, limit: i64) -> Result<Depth, sqlx::Error> {
        let (waiting, unsettled, parked, oldest) =
            sqlx::query_as(sql::DEPTH).bind(limit).fetch_one(&mut self.conn).await?;
        Ok(Depth { waiting, unsettled, parked, oldest })
    }

    async fn prune(&mut self, before: i64, limit: i64) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(sql::PRUNE).bind(before).bind(limit).execute(&mut self.conn).await?;
        Ok(done.rows_affected())
    }
}

/// Locks that come and go without the relay.
fn handed_around(what: &str) -> sqlx::Error {
    let text = format!(
        "{what}: something between relay and database hands sessions around, as a pooler in transaction mode does; \
         give the relay a direct connection"
    );
    sqlx::Error::Configuration(text.into())
}

// === impl Loaded ===

impl From<Loaded> for Row {
    fn from(row: Loaded) -> Self {
        Self {
            seq: row.seq,
            // The column is made by the database from 0 to 15.
            part: u8::try_from(row.part).unwrap_or_default(),
            key: row.ordering_key,
            body: row.body.into_bytes(),
            created_at: row.created_at,
            attempts: row.attempts.unsigned_abs(),
            refused: row.refused.unsigned_abs(),
            refused_since: row.refused_since,
        }
    }
}
