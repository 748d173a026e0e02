//! Telling a relay of this process that there is something to send.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes a relay. Call [`notify`](Self::notify) after the commit of what was enqueued.
///
/// It saves the wait for the next poll and nothing else: a forgotten call delays, and loses nothing.
#[derive(Clone, Debug, Default)]
pub struct OutboxWaker {
    /// The relay waits on the other clone.
    wake: Arc<Notify>,
}

impl OutboxWaker {
    /// Wakes the relay, or keeps it from going to sleep.
    pub fn notify(&self) {
        self.wake.notify_one();
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) async fn notified(&self) {
        self.wake.notified().await;
    }
}

/// What wakes a relay.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    /// There is something to send.
    pub(crate) waker: OutboxWaker,
    /// Another relay came, went, or gave something back.
    pub(crate) shares: Arc<Notify>,
}
