//! What an access log tells of a request, written while it happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The page of one request, in its extensions. Only there when somebody will read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Facts>>);

/// What is known of a request so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) route: Option<Arc<str>>,
    pub(crate) upstream: Option<Arc<str>>,
    /// The address that was tried last.
    pub(crate) address: Option<String>,
    /// How often it was given to a connection.
    pub(crate) attempts: u32,
    pub(crate) times: Times,
    pub(crate) outcome: Option<&'static str>,
}

/// What the time went to, over all tries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// Waiting for a turn.
    pub(crate) queue: Duration,
    /// Connecting, or finding a connection that is open.
    pub(crate) connect: Duration,
    /// From the first byte of the request to the head of the answer.
    pub(crate) head: Duration,
}

// === impl Journal ===

impl Journal {
    pub(crate) fn note(&self, note: impl FnOnce(&mut Facts)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The first word is the truest: who speaks later only sees that it is over.
    pub(crate) fn ended(&self, outcome: &'static str) {
        self.note(|facts| {
            facts.outcome.get_or_insert(outcome);
        });
    }

    pub(crate) fn facts(&self) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
