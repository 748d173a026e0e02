//! The outbox in PostgreSQL.

pub(crate) mod lease;
mod listen;
mod parked;
mod session;
mod sql;

use std::future::Future;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::hub::Hub;
use crate::outbox::postgres::session::PostgresStore;
use crate::outbox::relay::Core;
use crate::outbox::schema::{self, Part};
use crate::outbox::store::now;
use crate::outbox::waker::Signals;
use crate::outbox::{OutboxWaker, RelayConfig, RelayMonitor};

pub use parked::{discard, parked, resume};

const PART: Part = Part {
    name: "outbox",
    steps: &[
        include_str!("../../migrations/postgres/outbox_0001.sql"),
        include_str!("../../migrations/postgres/outbox_0002.sql"),
    ],
};

/// Makes or upgrades the table `outbox`. Safe with several replicas at once.
///
/// The step to partitions rewrites the table. Transactions that have written to it are waited for, ten seconds
/// at most; meanwhile no others write there.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails, or somebody's transaction keeps the table for too long: try again.
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

/// Sends what was committed. Several may run, in one process or many, and share the work: each sends some of the
/// sixteen partitions, into which events fall by their keys.
#[derive(Debug)]
pub struct Relay {
    core: Core<PostgresStore>,
}

// === impl Relay ===

impl Relay {
    /// A relay from the database of `pool` to `hub`. It takes a connection out of the pool for good, as the pool's
    /// `after_connect` has left it, and opens one beside it to listen; after a loss, with the options that the pool
    /// has by then.
    #[must_use]
    pub fn new(pool: PgPool, hub: Hub, config: RelayConfig) -> Self {
        let signals = Signals::default();
        let store = PostgresStore {
            pool,
            timeout: config.store_timeout,
            idle: patience(&config),
            keeps_sent: config.keep_sent.is_some(),
            standby: None,
            signals: signals.clone(),
        };
        Self { core: Core::new(store, hub, config, signals) }
    }

    /// Wakes this relay. `enqueue` does so itself at the commit, in every process.
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
    /// Hub or database away: it waits and goes on. Its partitions go to the other relays as soon as nothing of
    /// them is out, or when its connection is gone.
    ///
    /// # Cancel safety
    ///
    /// When dropped, what is not confirmed is sent again by the next relay.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        self.core.run(shutdown).await;
    }
}

/// How long the server keeps the session of a relay that says nothing: what missed many of its looks is frozen.
///
/// A relay that waits for its last confirms says nothing either, nor does one that stands by.
fn patience(config: &RelayConfig) -> Duration {
    let looks = config.share_interval.max(config.poll_interval).saturating_mul(10);
    Duration::from_secs(30).saturating_add(config.drain_timeout).max(looks)
}
