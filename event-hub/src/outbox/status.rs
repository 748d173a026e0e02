//! How a relay is, for health and for people.

use std::time::Duration;

use tokio::sync::watch;

/// How a relay is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RelayStatus {
    /// How many partitions of the outbox it sends; in SQLite one, which is all.
    pub partitions: u32,
    /// How many relays share the outbox, this one included; 0 while it has no connection to its database, or
    /// a relay of an older version has the outbox to itself.
    pub relays: u32,
    /// Events that the hub confirmed to this relay.
    pub sent: u64,
    /// Rows of the whole outbox that wait. This figure and those below are counted at the configured interval,
    /// up to 100,000 rows of each state, or up to the alarm's threshold where that is higher.
    pub waiting: u64,
    /// Rows that are sent and not settled (memory hub).
    pub unsettled: u64,
    /// Rows that were put aside.
    pub parked: u64,
    /// The age of the oldest row that waits, when it was counted, or when the database failed since.
    pub oldest: Option<Duration>,
    /// Whether depth or age are past their threshold.
    pub alarm: bool,
    /// Whether the hub gave no answer and the relay waits before it tries again.
    pub paused: bool,
    /// The failure of database or hub that nothing has succeeded since.
    pub last_error: Option<String>,
}

/// Watches one relay. It outlives the relay and then shows its last state.
#[derive(Clone, Debug)]
pub struct RelayMonitor {
    /// The relay's flow has the sender.
    status: watch::Receiver<RelayStatus>,
}

// === impl RelayMonitor ===

impl RelayMonitor {
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn new(status: watch::Receiver<RelayStatus>) -> Self {
        Self { status }
    }

    /// How the relay is now.
    #[must_use]
    pub fn status(&self) -> RelayStatus {
        self.status.borrow().clone()
    }

    /// Waits until `wanted` holds, and answers with that state; with the last one when the relay ends before.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when dropped.
    pub async fn wait_for(&mut self, wanted: impl FnMut(&RelayStatus) -> bool) -> RelayStatus {
        if let Ok(status) = self.status.wait_for(wanted).await {
            return status.clone();
        }
        self.status()
    }
}
