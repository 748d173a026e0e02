//! What a cache did.

/// Counts since the cache was made, and how full it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Answers from memory.
    pub hits_l1: u64,
    /// Answers from Redis.
    pub hits_l2: u64,
    /// Questions that neither tier could answer, waits for someone else's load included.
    pub misses: u64,
    /// Loads begun.
    pub loads: u64,
    /// Callers that got the answer of a load which another caller brought.
    pub shared: u64,
    /// Loads that failed or panicked.
    pub errors: u64,
    /// Answers not kept since they were invalidated while they were loaded.
    pub stale: u64,
    /// Values that could not be read or written, or were too large.
    pub unusable: u64,
    /// Calls to Redis that failed.
    pub redis_errors: u64,
    /// Invalidations, from here and from other processes.
    pub invalidations: u64,
    /// How often memory was forgotten since an invalidation may have been missed.
    pub flushes: u64,
    /// Entries in memory.
    pub entries: u64,
    /// Their weight in bytes.
    pub weight: u64,
    /// Loads that run.
    pub loading: u64,
    /// Whether invalidations of other processes are heard; always true without Redis.
    pub attached: bool,
}

// === impl Stats ===

impl Stats {
    /// The share of questions answered without a load, between 0 and 1; none when nothing was asked.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn hit_ratio(&self) -> Option<f64> {
        let hits = self.hits_l1 + self.hits_l2;
        let all = hits + self.misses;
        (all > 0).then(|| hits as f64 / all as f64)
    }
}
