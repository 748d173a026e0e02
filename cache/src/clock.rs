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
    /// rest of it. Nothing of it is kept, so a process that stood still knows at its first look for how long. Time in which
    /// the machine itself is suspended does not count.
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
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use std::time::Duration;
    /// use tramline_cache::{Cache, CacheConfig, Clock, Policy, Store, StoreConfig};
    ///
    /// let clock = Clock::manual();
    /// let mut config = StoreConfig::default();
    /// config.clock = clock.clone();
    /// let mut rates = CacheConfig::new("rates");
    /// rates.policy = Policy::new(Duration::from_secs(60));
    /// // A life may be up to this share shorter, so that not all end at once. Here it is to be exact.
    /// rates.policy.jitter = 0.0;
    /// let rates: Cache<u64, f64> = Store::memory(config).cache(rates)?;
    ///
    /// rates.set(&978, 1.08).await;
    /// clock.advance(Duration::from_secs(59));
    /// assert_eq!(rates.peek(&978).as_deref(), Some(&1.08));
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(rates.peek(&978), None);
    /// # Ok::<_, tramline_cache::Error>(()) }).unwrap();
    /// ```
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

/// The moment after so long; what is too long is as long as can be.
pub(crate) fn from_now(duration: Duration) -> tokio::time::Instant {
    after(tokio::time::Instant::now(), duration)
}

/// The same from another moment on.
pub(crate) fn after(start: tokio::time::Instant, duration: Duration) -> tokio::time::Instant {
    // Some 30 years, as tokio's own timeouts have it.
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    start + duration.min(FAR)
}

/// A life of part of a millisecond is one of a whole one.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
