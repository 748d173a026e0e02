//! Events in the transaction of what they tell: the hub's outbox and inbox on our connections.

use std::future::Future;
use std::sync::{MutexGuard, PoisonError};

use tramline_event_hub::dead_letters::DeadLetters;
use tramline_event_hub::outbox::{RelayConfig, RelayStatus};
use tramline_event_hub::{Event, EventId, Hub, dead_letters, inbox, outbox};

use super::{Conn, Db, DbError, Pools, RelayHandles, Tx};

// === impl Tx ===

impl Tx {
    /// Writes `event` into the outbox: it is sent when, and only when, this transaction commits.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn enqueue(&mut self, event: &Event) -> Result<(), DbError> {
        enqueue(self.conn(), event).await?;
        self.wakes = true;
        Ok(())
    }

    /// Whether `consumer` sees the event for the first time; marks it as seen. When it does not, commit or drop, and
    /// acknowledge.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn first_time(&mut self, consumer: &str, id: &EventId) -> Result<bool, DbError> {
        let first = match self.conn() {
            Conn::Postgres(conn) => inbox::postgres::record(conn, consumer, id).await,
            Conn::Sqlite(conn) => inbox::sqlite::record(conn, consumer, id).await,
        };
        first.map_err(DbError::foreign)
    }
}

/// Writes `event` into the outbox over a connection that a library lends inside its transaction (the journal of
/// `session-sync`). Call [`Db::wake_outbox`] after the library's commit.
///
/// # Errors
///
/// The database's.
pub async fn enqueue(conn: Conn<'_>, event: &Event) -> Result<(), DbError> {
    let done = match conn {
        Conn::Postgres(conn) => outbox::postgres::enqueue(conn, event).await,
        Conn::Sqlite(conn) => outbox::sqlite::enqueue(conn, event).await,
    };
    done.map_err(DbError::foreign)
}

// === impl Db ===

impl Db {
    /// Wakes the relay: for commits that are not a [`Tx`]'s, which does so itself.
    pub fn wake_outbox(&self) {
        if let Some((waker, _)) = &*self.relay() {
            waker.notify();
        }
    }

    /// Runs the relay from this database's outbox to `hub`, until `shutdown` and the confirms that are out.
    pub async fn run_relay(&self, hub: Hub, config: RelayConfig, shutdown: impl Future<Output = ()> + Send) {
        match &self.0.pools {
            Pools::Postgres(pool) => {
                let relay = outbox::postgres::Relay::new(pool.clone(), hub, config);
                self.relay().replace((relay.waker(), relay.monitor()));
                relay.run(shutdown).await;
            }
            Pools::Sqlite { writer, .. } => {
                let relay = outbox::sqlite::Relay::new(writer.clone(), hub, config);
                self.relay().replace((relay.waker(), relay.monitor()));
                relay.run(shutdown).await;
            }
        }
    }

    /// How the relay is that [`run_relay`](Self::run_relay) runs; none before it does.
    #[must_use]
    pub fn relay_status(&self) -> Option<RelayStatus> {
        self.relay().as_ref().map(|(_, monitor)| monitor.status())
    }

    /// Removes old marks from the inbox, now and then, until `shutdown`.
    pub async fn run_housekeeping(&self, shutdown: impl Future<Output = ()> + Send) {
        let (retention, every) = (inbox::RETENTION, inbox::PRUNE_EVERY);
        match &self.0.pools {
            Pools::Postgres(pool) => inbox::postgres::run(pool.clone(), retention, every, shutdown).await,
            Pools::Sqlite { writer, .. } => {
                inbox::sqlite::run(writer.clone(), retention, every, shutdown).await;
            }
        }
    }

    /// The dead letters in this database, where [`migrate_dead_letters`](Self::migrate_dead_letters) has been.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        match &self.0.pools {
            Pools::Postgres(pool) => dead_letters::postgres::open(pool.clone()),
            Pools::Sqlite { writer, .. } => dead_letters::sqlite::open(writer.clone()),
        }
    }

    /// Makes or upgrades the tables of dead letters: for the service that keeps them.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn migrate_dead_letters(&self) -> Result<(), DbError> {
        let done = match &self.0.pools {
            Pools::Postgres(pool) => dead_letters::postgres::migrate(pool).await,
            Pools::Sqlite { writer, .. } => dead_letters::sqlite::migrate(writer).await,
        };
        done.map_err(DbError::foreign)
    }

    pub(super) async fn migrate_events(&self) -> Result<(), DbError> {
        match &self.0.pools {
            Pools::Postgres(pool) => {
                outbox::postgres::migrate(pool).await.map_err(DbError::foreign)?;
                inbox::postgres::migrate(pool).await.map_err(DbError::foreign)
            }
            Pools::Sqlite { writer, .. } => {
                outbox::sqlite::migrate(writer).await.map_err(DbError::foreign)?;
                inbox::sqlite::migrate(writer).await.map_err(DbError::foreign)
            }
        }
    }

    fn relay(&self) -> MutexGuard<'_, Option<RelayHandles>> {
        self.0.relay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
