//! The outbox in PostgreSQL.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};
use tokio_util::task::AbortOnDropHandle;

use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::hub::Hub;
use crate::outbox::relay::Core;
use crate::outbox::schema::{self, LOCK_CLASS, Part};
use crate::outbox::store::{Changes, Depth, Row, Session, Store, Wanted, now};
use crate::outbox::{OutboxWaker, RelayConfig};

const PART: Part =
    Part { name: "outbox", steps: &[include_str!("../../migrations/postgres/outbox_0001.sql")] };

/// The channel of the wake-ups.
const CHANNEL: &str = "tramline_outbox";

/// Insert and wake-up are one round trip. The server sends the wake-up at the commit, once per transaction.
const ENQUEUE: &str = "WITH new AS ( \
        INSERT INTO outbox (event_id, ordering_key, body, created_at) VALUES ($1, $2, $3, $4) RETURNING seq \
    ) SELECT pg_notify('tramline_outbox', '') FROM new";

const LOAD: &str = "SELECT seq, ordering_key, attempts, body FROM outbox AS this \
    WHERE state = 0 AND due_at <= $1 AND seq <> ALL($2) \
      AND (ordering_key IS NULL OR (ordering_key <> ALL($3) AND NOT EXISTS ( \
            SELECT 1 FROM outbox AS held WHERE held.state = 0 AND held.due_at > 0 AND held.due_at > $1 \
              AND held.ordering_key = this.ordering_key AND held.seq < this.seq))) \
    ORDER BY seq LIMIT $4";

const FAIL: &str = "UPDATE outbox SET attempts = attempts + 1, due_at = f.due_at, last_error = f.error \
    FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS f (seq, due_at, error) \
    WHERE outbox.seq = f.seq AND outbox.state = 0";

/// Counted up to 100,000 each, so that the figures of a long outage cost no more than those of a short one.
const DEPTH: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 0 LIMIT 100000) AS waiting), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 1 LIMIT 100000) AS unsettled), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 2 LIMIT 100000) AS parked), \
    (SELECT created_at FROM outbox WHERE state = 0 ORDER BY seq LIMIT 1)";

/// A dead network shows itself within half a minute on both sides, so that another relay can take over.
const KEEPALIVE: &str = "SELECT set_config('tcp_keepalives_idle', '10', false), \
    set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false), \
    set_config('application_name', 'tramline outbox relay', false)";

/// Makes or upgrades the table `outbox`. Safe with several replicas at once.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
pub async fn migrate(pool: &PgPool) -> Result<(), Error> {
    schema::postgres(pool, &PART).await
}

/// Writes an event in the caller's transaction: it is sent when, and only when, that commits.
///
/// Events of one partition key are sent in the order of their transactions, if these exclude each other,
/// as by the row that the key names.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
///
/// # Cancel safety
///
/// When dropped the event may or may not be in the transaction: roll it back.
pub async fn enqueue(conn: &mut PgConnection, event: &Event) -> Result<(), Error> {
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

/// Sends what was committed. Several may run, in one process or many: one is active, the others stand by.
#[derive(Debug)]
pub struct Relay {
    core: Core<PostgresStore>,
}

#[derive(Debug)]
struct PostgresStore {
    options: Arc<PgConnectOptions>,
    timeout: Duration,
    /// Connected, but another relay has the lock.
    standby: Option<PgConnection>,
    waker: OutboxWaker,
}

/// The lock lives in this connection, and every statement of the relay goes through it: who can still
/// read and write here has the lock.
struct PostgresSession {
    conn: PgConnection,
    _listener: AbortOnDropHandle<()>,
}

// === impl Relay ===

impl Relay {
    /// A relay from the database of `pool` to `hub`. It opens two connections of its own.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "a handle, and the same call as for SQLite")]
    pub fn new(pool: PgPool, hub: Hub, config: RelayConfig) -> Self {
        let waker = OutboxWaker::default();
        let store = PostgresStore {
            options: pool.connect_options(),
            timeout: config.store_timeout,
            standby: None,
            waker: waker.clone(),
        };
        Self { core: Core::new(store, hub, config, waker) }
    }

    /// Wakes this relay. `enqueue` does so itself at the commit, in every process.
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

// === impl PostgresStore ===

impl Store for PostgresStore {
    type Session = PostgresSession;

    async fn open(&mut self) -> Result<Option<PostgresSession>, sqlx::Error> {
        let mut conn = match self.standby.take() {
            Some(conn) => conn,
            None => {
                let mut conn = self.options.connect().await?;
                sqlx::query(KEEPALIVE).execute(&mut conn).await?;
                conn
            }
        };
        // One lock per schema, since two of them may be two outboxes.
        let locked: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext(current_schema() || '.outbox'))")
                .bind(LOCK_CLASS)
                .fetch_one(&mut conn)
                .await?;
        if !locked {
            self.standby = Some(conn);
            return Ok(None);
        }
        let listener = listen((*self.options).clone(), self.waker.clone(), self.timeout);
        Ok(Some(PostgresSession { conn, _listener: AbortOnDropHandle::new(tokio::spawn(listener)) }))
    }
}

// === impl PostgresSession ===

impl Session for PostgresSession {
    async fn reset(&mut self, keep: &[i64]) -> Result<u64, sqlx::Error> {
        sqlx::query("UPDATE outbox SET state = 0 WHERE state = 1 AND seq <> ALL($1)")
            .bind(keep)
            .execute(&mut self.conn)
            .await
            .map(|done| done.rows_affected())
    }

    async fn load(&mut self, want: &Wanted<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let rows: Vec<(i64, Option<String>, i32, String)> = sqlx::query_as(LOAD)
            .bind(want.now)
            .bind(want.except)
            .bind(want.except_keys)
            .bind(want.limit)
            .fetch_all(&mut self.conn)
            .await?;
        Ok(rows
            .into_iter()
            .map(|(seq, key, attempts, body)| Row {
                seq,
                key,
                attempts: attempts.unsigned_abs(),
                body: body.into_bytes(),
            })
            .collect())
    }

    async fn apply(&mut self, changes: &Changes) -> Result<(), sqlx::Error> {
        // No transaction: each statement stands for itself, and mostly there is one.
        if !changes.gone.is_empty() {
            sqlx::query("DELETE FROM outbox WHERE seq = ANY($1)")
                .bind(&changes.gone)
                .execute(&mut self.conn)
                .await?;
        }
        if !changes.confirmed.is_empty() {
            sqlx::query("UPDATE outbox SET state = 1 WHERE seq = ANY($1) AND state = 0")
                .bind(&changes.confirmed)
                .execute(&mut self.conn)
                .await?;
        }
        if !changes.failed.is_empty() {
            let failed = &changes.failed;
            sqlx::query(FAIL)
                .bind(failed.iter().map(|f| f.seq).collect::<Vec<_>>())
                .bind(failed.iter().map(|f| f.due_at).collect::<Vec<_>>())
                .bind(failed.iter().map(|f| f.error.as_str()).collect::<Vec<_>>())
                .execute(&mut self.conn)
                .await?;
        }
        for (seq, error) in &changes.parked {
            sqlx::query("UPDATE outbox SET state = 2, last_error = $2 WHERE seq = $1")
                .bind(seq)
                .bind(error)
                .execute(&mut self.conn)
                .await?;
        }
        Ok(())
    }

    async fn depth(&mut self) -> Result<Depth, sqlx::Error> {
        let (waiting, unsettled, parked, oldest) = sqlx::query_as(DEPTH).fetch_one(&mut self.conn).await?;
        Ok(Depth { waiting, unsettled, parked, oldest })
    }
}

/// Passes the server's wake-ups on. While it cannot, the relay's poll does its work.
async fn listen(options: PgConnectOptions, waker: OutboxWaker, pause: Duration) {
    loop {
        if let Err(error) = listen_once(&options, &waker).await {
            tracing::debug!(%error, "the outbox's listener lost its connection");
        }
        // What was committed meanwhile woke nobody.
        waker.notify();
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.05..=0.1))).await;
    }
}

async fn listen_once(options: &PgConnectOptions, waker: &OutboxWaker) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    waker.notify();
    // `try_recv` answers `None` when the connection was lost.
    while listener.try_recv().await?.is_some() {
        waker.notify();
    }
    Ok(())
}
