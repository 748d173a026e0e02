//! What has become of deliveries, on its way back to their owner.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::driver::Settlement;

/// The workers' end. The owner hears when it is dropped.
#[derive(Debug)]
pub(crate) struct Settlements(Arc<Shared>);

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Settled(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many are worth a wake by themselves.
    enough: usize,
    /// INVARIANT: one for each delivery that is out at most, so that the window bounds it.
    list: Mutex<List>,
    /// Whether there is something that the owner was not woken for.
    untold: AtomicBool,
    wake: Notify,
}

#[derive(Debug, Default)]
struct List {
    items: Vec<Settlement>,
    /// One end is gone.
    closed: bool,
}

/// Both ends. The owner is woken for so many, or by a [`Settlements::flush`].
pub(crate) fn settlements(enough: usize) -> (Settlements, Settled) {
    let shared = Arc::new(Shared {
        enough: enough.max(1),
        list: Mutex::default(),
        untold: AtomicBool::new(false),
        wake: Notify::new(),
    });
    (Settlements(Arc::clone(&shared)), Settled(shared))
}

// === impl Settlements ===

impl Settlements {
    /// Tells the owner at the next [`Settlements::flush`], or when there are enough.
    ///
    /// An owner that is gone has given it back.
    pub(crate) fn put(&self, settlement: Settlement) {
        let count = {
            let mut list = self.0.list();
            if list.closed {
                return;
            }
            list.items.push(settlement);
            list.items.len()
        };
        self.0.untold.store(true, Ordering::Release);
        if count >= self.0.enough {
            self.flush();
        }
    }

    /// As [`Settlements::put`], at once.
    pub(crate) fn send(&self, settlement: Settlement) {
        self.put(settlement);
        self.flush();
    }

    /// Wakes the owner if there is something that it was not woken for.
    pub(crate) fn flush(&self) {
        if self.0.untold.load(Ordering::Acquire) && self.0.untold.swap(false, Ordering::AcqRel) {
            self.0.wake.notify_one();
        }
    }
}

impl Drop for Settlements {
    fn drop(&mut self) {
        self.0.list().closed = true;
        self.0.wake.notify_one();
    }
}

// === impl Settled ===

impl Settled {
    /// Waits for some. False when there are none, and none will come.
    ///
    /// # Cancel safety
    ///
    /// When dropped nothing has been taken.
    pub(crate) async fn take(&self, into: &mut Vec<Settlement>) -> bool {
        loop {
            // One owner waits, and a call before its wait is kept.
            let woken = self.0.wake.notified();
            match self.try_take(into) {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
            woken.await;
        }
    }

    /// Whether there were some; none when none will come either.
    pub(crate) fn try_take(&self, into: &mut Vec<Settlement>) -> Option<bool> {
        let mut list = self.0.list();
        if list.items.is_empty() {
            return (!list.closed).then_some(false);
        }
        if into.is_empty() {
            // Both lists keep their room.
            std::mem::swap(&mut list.items, into);
        } else {
            into.append(&mut list.items);
        }
        Some(true)
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        let mut list = self.0.list();
        list.closed = true;
        list.items = Vec::new();
    }
}

// === impl Shared ===

impl Shared {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
