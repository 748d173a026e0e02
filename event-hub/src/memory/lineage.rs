//! Who waits for an event to be settled in every work queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// All copies of one published event, wherever they have moved.
#[derive(Clone, Debug)]
pub(crate) struct Lineage(Arc<Inner>);

/// One copy's part. Dropped without [`Share::settle`] it is never settled, and the receipt says so.
#[derive(Debug)]
pub(crate) struct Share(Lineage);

#[derive(Debug)]
struct Inner {
    open: AtomicUsize,
    /// Half of the receipt's pair; goes unsent with the last copy when one of them was lost.
    settled: Mutex<Option<oneshot::Sender<()>>>,
}

// === impl Lineage ===

impl Lineage {
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (settled, receipt) = oneshot::channel();
        (Self(Arc::new(Inner { open: AtomicUsize::new(0), settled: Mutex::new(Some(settled)) })), receipt)
    }

    pub(crate) fn share(&self) -> Share {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        Share(self.clone())
    }
}

// === impl Share ===

impl Share {
    pub(crate) fn settle(self) {
        if self.0.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let settled = self.0.0.settled.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(settled) = settled {
                let _ = settled.send(());
            }
        }
    }
}
