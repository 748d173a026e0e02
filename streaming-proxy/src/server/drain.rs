//! The word that a server drains, for its connections.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio_util::sync::CancellationToken;

/// Whether a server drains. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    begun: Arc<AtomicBool>,
    token: CancellationToken,
}

// === impl Drain ===

impl Drain {
    pub(crate) fn begin(&self) {
        // ORDER: who is woken by the token must see it.
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Ready once the server drains, for one task: it wakes the one that polled it first.
    ///
    /// A connection polls this with all else that it does. A token takes locks then that are everybody's; once it knows
    /// whom to wake, this only looks.
    pub(crate) async fn begun(&self) {
        let mut cancelled = pin!(self.token.cancelled());
        let mut waits = false;
        poll_fn(|cx| {
            if waits && !self.has_begun() {
                return Poll::Pending;
            }
            waits = true;
            cancelled.as_mut().poll(cx)
        })
        .await;
    }
}
