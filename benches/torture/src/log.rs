//! What the publishers have told: it outlives them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::lines::{Answered, Line};

/// Shared with whoever asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// How many of them have finished.
    finished: watch::Sender<usize>,
}

/// What publishers know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Everything that was ever sent; true for poison.
    pub(crate) offered: HashMap<String, bool>,
    /// What the hub has confirmed.
    pub(crate) accepted: HashSet<String>,
    /// Answers by name, beside the confirms.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Those after which nobody can know.
    pub(crate) unknown: u64,
    pub(crate) outage: Outage,
}

/// The longest time without a confirm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outage {
    last: Option<Instant>,
    pub(crate) longest: Duration,
}

// === impl Log ===

impl Log {
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, line: Line) {
        match line {
            Line::Counts(_) => {}
            Line::Offered(events) => self.known().offered.extend(events),
            Line::Answered(answered) => self.known().answered(answered),
            Line::Finished => self.0.finished.send_modify(|finished| *finished += 1),
        }
    }

    /// Returns when so many publishers have all confirmed that they have sent, which may be never.
    pub(crate) async fn finished(&self, publishers: usize) {
        // The sender lives in `self`, so the wait cannot end in an error.
        let _ = self.0.finished.subscribe().wait_for(|finished| *finished >= publishers).await;
    }
}

// === impl Known ===

impl Known {
    fn answered(&mut self, answered: Answered) {
        if !answered.confirmed.is_empty() {
            self.outage.confirmed();
        }
        self.accepted.extend(answered.confirmed);
        for (name, count) in answered.others {
            *self.answers.entry(name).or_default() += count;
        }
        self.unknown += answered.unknown;
    }
}

// === impl Outage ===

impl Outage {
    fn confirmed(&mut self) {
        let now = Instant::now();
        if let Some(last) = self.last {
            self.longest = self.longest.max(now - last);
        }
        self.last = Some(now);
    }
}
