//! What time it is, in whole milliseconds since some start.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The clock by which entries age. It never goes back, and has nothing to do with the time of day.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    Coarse(coarsetime::Instant),
    Tokio(tokio::time::Instant),
    Manual(Arc<AtomicU64>),
}

// === impl Clock ===

impl Clock {
    /// The machine's clock as of its last tick, 1 to 4 ms ago: a hit is not worth an exact one, which costs as much as the
    /// rest of it.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::Coarse(coarsetime::Instant::now_without_cache_update()))
    }

    /// The clock of tokio's timers, for tests that pause it.
    #[must_use]
    pub fn tokio() -> Self {
        Self(Kind::Tokio(tokio::time::Instant::now()))
    }

    /// A clock that stands until it is [advanced](Self::advance), for tests. Timeouts of loads go by tokio's.
    #[must_use]
    pub fn manual() -> Self {
        Self(Kind::Manual(Arc::default()))
    }

    /// Lets time pass, for this clock and its clones. Only on a [manual](Self::manual) one; others go by themselves.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(now) = &self.0 {
            now.fetch_add(millis(by), Ordering::AcqRel);
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Kind::Coarse(start) => {
                coarsetime::Instant::now_without_cache_update().duration_since(*start).as_millis()
            }
            Kind::Tokio(start) => millis(start.elapsed()),
            Kind::Manual(now) => now.load(Ordering::Acquire),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Coarse(_) => "system",
            Kind::Tokio(_) => "tokio",
            Kind::Manual(_) => "manual",
        };
        f.debug_struct("Clock").field("kind", &kind).field("now", &self.now()).finish()
    }
}

/// A life of part of a millisecond is one of a whole one.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
