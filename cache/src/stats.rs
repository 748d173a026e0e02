//! What a cache did.

/// Counts since the cache was made, and how full it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Answers from memory.
    pub hits_memory: u64,
    /// Answers from the shared tier.
    pub hits_shared: u64,
    /// Questions that neither tier could answer, so that something was loaded: waits for someone else's load, and loads that
    /// failed, included.
    pub misses: u64,
    /// Answers whose life was over, while a load renewed them ([`Outcome::Stale`](crate::Outcome::Stale)).
    pub stale: u64,
    /// Answers whose life was over, in place of a load that failed
    /// ([`Outcome::StaleIfError`](crate::Outcome::StaleIfError)).
    pub stale_if_error: u64,
    /// Questions by [`Cache::get`](crate::Cache::get) that neither tier could answer: nothing is loaded for them.
    pub absent: u64,
    /// Loads begun.
    pub loads: u64,
    /// Those of them that renewed what was still fresh ([`Policy::refresh`](crate::Policy::refresh)).
    pub refreshes: u64,
    /// Callers that joined a question of another one, and got what that brought: loaded, or read from the shared tier.
    pub followers: u64,
    /// Loads that failed, panicked or took too long.
    pub load_errors: u64,
    /// Answers not kept since they were ended while they were loaded.
    pub refused: u64,
    /// Values that could not be read or written, were larger than [`max_value`](crate::CacheConfig::max_value), had too many
    /// tags, or were too heavy for memory. The metrics have them by their reasons.
    pub unusable: u64,
    /// Waits for another process that loads the same.
    pub lease_waits: u64,
    /// Invalidations of keys and of the whole ([`StoreStats::tag_invalidations`] has those of tags), from here and, as far as
    /// they are heard, from other processes.
    pub invalidations: u64,
    /// Encoded bytes that came from the shared tier.
    pub read_bytes: u64,
    /// Encoded bytes that went there.
    pub written_bytes: u64,
    /// Entries in memory, ended ones that nobody asked for since included.
    pub entries: u64,
    /// Their weight in bytes.
    pub weight: u64,
}

/// What one cache of a store did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Its name.
    pub name: String,
    /// The version of its values' type.
    pub version: u32,
    /// What it did.
    pub stats: Stats,
}

/// How a store is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Calls to the shared tier that failed.
    pub tier_errors: u64,
    /// How often memory was forgotten since an invalidation may have been missed.
    pub flushes: u64,
    /// Tags that were ended, from here and, as far as they are heard, from other processes: each time, whatever carries them.
    pub tag_invalidations: u64,
    /// Loads that run.
    pub loading: u64,
    /// Whether invalidations of other processes are heard; always true in memory alone.
    pub attached: bool,
}

// === impl Stats ===

impl Stats {
    /// The share of questions answered without a load, between 0 and 1; none when nothing was asked. What
    /// [`get`](crate::Cache::get) does not find is no part of it.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn hit_ratio(&self) -> Option<f64> {
        let hits = self.hits_memory + self.hits_shared + self.stale + self.stale_if_error;
        let all = hits + self.misses;
        (all > 0).then(|| hits as f64 / all as f64)
    }
}
