//! What a question got, and from where.

use std::sync::Arc;
use std::time::Duration;

/// An answer, and where it came from.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer<V> {
    /// The value; none when there is nothing.
    pub value: Option<Arc<V>>,
    /// Where it came from.
    pub outcome: Outcome,
    /// How long ago it was loaded or written, here or by another process, to a few milliseconds. Zero when it was loaded
    /// for this question.
    pub age: Duration,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// One of the tiers had it, be it after waiting for another process that loaded it.
    Hit,
    /// It was loaded.
    Miss,
    /// One of the tiers had it, and its life was over; a load renews it meanwhile, here or in another process.
    Stale,
    /// One of the tiers had it, its life was over, and the load that was to renew it failed, now or just before.
    StaleIfError,
}

// === impl Answer ===

impl<V> Answer<V> {
    /// Just now.
    pub(crate) fn loaded(value: Option<Arc<V>>) -> Self {
        Self { value, outcome: Outcome::Miss, age: Duration::ZERO }
    }
}

impl<V> Clone for Answer<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Whether its life was over.
    pub(crate) fn is_stale(self) -> bool {
        matches!(self, Self::Stale | Self::StaleIfError)
    }

    /// The value of a `Server-Timing` header that says so to the browser, for instance `cache;desc=hit`
    /// (W3C Server Timing).
    #[must_use]
    pub fn server_timing(self) -> &'static str {
        match self {
            Self::Hit => "cache;desc=hit",
            Self::Miss => "cache;desc=miss",
            Self::Stale | Self::StaleIfError => "cache;desc=stale",
        }
    }
}
