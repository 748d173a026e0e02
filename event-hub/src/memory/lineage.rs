//! Who waits for an event to be settled in every work queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// All copies of one published event, wherever they have moved.
#[derive(Clone, Debug)]
pub(crate) struct Lineage(Arc<Inner>);

/// One copy's part. Dropped without [`Share::settle`] the event is lost, and its receipt says so.
#[derive(Debug)]
pub(crate) struct Share(Option<Lineage>);

#[derive(Debug)]
struct Inner {
    /// Copies that are not settled.
    open: AtomicUsize,
    lost: AtomicBool,
    /// Half of the receipt's wait.
    over: Notify,
}

// === impl Lineage ===

impl Lineage {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { open: AtomicUsize::new(0), lost: AtomicBool::new(false), over: Notify::new() }))
    }

    pub(crate) fn share(&self) -> Share {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        Share(Some(self.clone()))
    }

    /// Waits until every copy is settled: true. False as soon as one is lost.
    pub(crate) async fn settled(&self) -> bool {
        loop {
            // One receipt waits, and a call before its wait is kept.
            let over = self.0.over.notified();
            if self.0.lost.load(Ordering::Acquire) {
                return false;
            }
            if self.0.open.load(Ordering::Acquire) == 0 {
                return true;
            }
            over.await;
        }
    }

    fn close(&self, lost: bool) {
        if lost {
            self.0.lost.store(true, Ordering::Release);
        }
        // ORDER: the loss is there before the last copy is gone.
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 || lost {
            self.0.over.notify_one();
        }
    }
}

// === impl Share ===

impl Share {
    pub(crate) fn settle(mut self) {
        if let Some(lineage) = self.0.take() {
            lineage.close(false);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(lineage) = self.0.take() {
            lineage.close(true);
        }
    }
}
