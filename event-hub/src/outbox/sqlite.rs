//! The outbox in SQLite.

mod parked;
mod session;
mod sql;

use std::future::Future;

use sqlx::{SqliteConnection, SqlitePool};

use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::hub::Hub;
use crate::outbox::relay::Core;
use crate::outbox::schema::{self, Part};
use crate::outbox::sqlite::session::SqliteStore;
use crate::outbox::store::now;
use crate::outbox::waker::Signals;
use crate::outbox::{OutboxWaker, RelayConfig, RelayMonitor};

pub use parked::{discard, parked, resume};

const PART: Part = Part {
    name: "outbox",
    steps: &[
        include_str!("../../migrations/sqlite/outbox_0001.sql"),
        include_str!("../../migrations/sqlite/outbox_0002.sql"),
    ],
};

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
    sqlx::query(sql::ENQUEUE)
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

// === impl Relay ===

impl Relay {
    /// A relay from the database of `pool` to `hub`. Give it the pool that may write.
    #[must_use]
    pub fn new(pool: SqlitePool, hub: Hub, config: RelayConfig) -> Self {
        let store = SqliteStore { pool, keeps_sent: config.keep_sent.is_some() };
        Self { core: Core::new(store, hub, config, Signals::default()) }
    }

    /// Wakes this relay after a commit.
    #[must_use]
    pub fn waker(&self) -> OutboxWaker {
        self.core.waker()
    }

    /// Watches this relay, while it runs and after.
    #[must_use]
    pub fn monitor(&self) -> RelayMonitor {
        self.core.monitor()
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

#[cfg(test)]
mod tests;
