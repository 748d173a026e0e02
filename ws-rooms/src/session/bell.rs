//! Who is woken when there is something to do for a connection.

use std::task::Waker;

/// Stands under the lock of the queue, which whoever rings has taken anyway.
#[derive(Default)]
pub(super) struct Bell {
    /// The task's, from its first turn on.
    waker: Option<Waker>,
    rung: bool,
}

// === impl Bell ===

impl Bell {
    /// There is something to do that the queue does not tell. Who gets the waker wakes, without the lock.
    pub(super) fn ring(&mut self) -> Option<Waker> {
        self.rung = true;
        self.waker()
    }

    pub(super) fn waker(&self) -> Option<Waker> {
        self.waker.clone()
    }

    /// A turn begins: says whether it was rung since the last one. From here on this waker is woken; the one before is
    /// to be dropped without the lock.
    pub(super) fn answer(&mut self, waker: &Waker) -> (bool, Option<Waker>) {
        let same = self.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        let before = if same { None } else { self.waker.replace(waker.clone()) };
        (std::mem::take(&mut self.rung), before)
    }
}
