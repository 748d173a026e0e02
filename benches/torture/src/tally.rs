//! What a worker counts, and tells its parent now and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lines::Line;

/// Figures of one life of a worker, or the sum of many.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Counts {
    /// Calls of handlers.
    pub(crate) handled: u64,
    /// Those among them that the broker said might be repeats.
    pub(crate) redelivered: u64,
    /// Effects written.
    pub(crate) effects: u64,
    /// Repeats that the inbox kept from a second effect.
    pub(crate) suppressed: u64,
    /// Failures and panics on purpose.
    pub(crate) failed: u64,
    /// Transactions that the outboxes saw committed, and those that they rolled back.
    pub(crate) committed: u64,
    pub(crate) rolled_back: u64,
    /// Dead letters stored, and their repeats.
    pub(crate) stored: u64,
    pub(crate) repeated: u64,
    /// Dead letters sent back.
    pub(crate) redriven: u64,
}

/// The counts of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Counts>>);

/// What a kill may swallow of the figures.
const TELL_EVERY: Duration = Duration::from_millis(100);

// === impl Counts ===

impl Counts {
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.handled += other.handled;
        self.redelivered += other.redelivered;
        self.effects += other.effects;
        self.suppressed += other.suppressed;
        self.failed += other.failed;
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.stored += other.stored;
        self.repeated += other.repeated;
        self.redriven += other.redriven;
        self
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn add(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells the counts whenever they have changed, without end.
    pub(crate) async fn tell(&self) {
        let mut last = Counts::default();
        let mut clock = tokio::time::interval(TELL_EVERY);
        loop {
            clock.tick().await;
            last = self.tell_once(last);
        }
    }

    pub(crate) fn tell_once(&self, last: Counts) -> Counts {
        let now = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now != last {
            Line::Counts(now).tell();
        }
        now
    }
}
