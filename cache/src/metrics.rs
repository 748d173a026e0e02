//! Counters: one number for [`Stats`](crate::Stats), one for the metrics facade.
//!
//! Caches of one name, in several stores or versions, tell the facade together: each adds its own part, and takes back what
//! is no more.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use thread_local::ThreadLocal;

/// What one cache did.
pub(crate) struct CacheMetrics {
    pub(crate) hits_memory: HitCount,
    pub(crate) hits_shared: Count,
    pub(crate) misses: Count,
    pub(crate) stale: Count,
    pub(crate) loads: Count,
    pub(crate) refreshes: Count,
    pub(crate) followers: Count,
    pub(crate) load_errors: Count,
    pub(crate) refused: Count,
    pub(crate) unusable: Count,
    pub(crate) lease_waits: Count,
    pub(crate) invalidations: Count,
    pub(crate) read_bytes: Count,
    pub(crate) written_bytes: Count,
    pub(crate) weight: Level,
    pub(crate) entries: Level,
}

/// What happened to the store.
pub(crate) struct StoreMetrics {
    pub(crate) tier_errors: Count,
    pub(crate) flushes: Count,
    pub(crate) detached: Level,
    pub(crate) loading: Level,
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "only Redis is told later"))]
    pub(crate) pending: Level,
}

/// As [`Count`], with a number for each thread that ever asked at once: threads that hit would take one number from each
/// other all the time, and a hit costs little else.
pub(crate) struct HitCount {
    numbers: ThreadLocal<Padded>,
    told: Told,
}

/// Written by one thread, and on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Padded(AtomicU64);

/// A counter that is also read here. The facade hears of it now and then, so that a hit costs one addition.
pub(crate) struct Count {
    number: AtomicU64,
    told: Told,
}

/// What the facade has heard of a count. What is left it hears at the end.
struct Told {
    number: AtomicU64,
    counter: Counter,
}

/// Our part of a gauge, which goes with it.
pub(crate) struct Level {
    told: AtomicU64,
    gauge: Gauge,
}

// === impl CacheMetrics ===

impl CacheMetrics {
    pub(crate) fn new(name: &str) -> Self {
        describe_counter!("tramline_cache_requests_total", "Questions by where the answer came from");
        describe_counter!("tramline_cache_loads_total", "Loads begun");
        describe_counter!("tramline_cache_refreshes_total", "Loads that renewed what was still fresh");
        describe_counter!("tramline_cache_shared_total", "Callers that joined another one's question");
        describe_counter!("tramline_cache_load_errors_total", "Loads that failed, panicked or took too long");
        describe_counter!("tramline_cache_refused_total", "Answers not kept: ended while they were loaded");
        describe_counter!(
            "tramline_cache_unusable_total",
            "Values that cannot be read or written, or are too large"
        );
        describe_counter!(
            "tramline_cache_lease_waits_total",
            "Waits for another process that loads the same"
        );
        describe_counter!("tramline_cache_invalidations_total", "Invalidations, own and heard");
        describe_counter!("tramline_cache_bytes_total", "Encoded bytes from and to the shared tier");
        describe_gauge!("tramline_cache_weight_bytes", "Weight of the entries in memory");
        describe_gauge!("tramline_cache_entries", "Entries in memory");
        let name = name.to_owned();
        let requests = |from: &'static str| {
            Count::new(counter!("tramline_cache_requests_total", "cache" => name.clone(), "from" => from))
        };
        let bytes = |way: &'static str| {
            Count::new(counter!("tramline_cache_bytes_total", "cache" => name.clone(), "direction" => way))
        };
        let count = |metric: &'static str| Count::new(counter!(metric, "cache" => name.clone()));
        Self {
            hits_memory: HitCount::new(
                counter!("tramline_cache_requests_total", "cache" => name.clone(), "from" => "memory"),
            ),
            hits_shared: requests("redis"),
            misses: requests("load"),
            stale: requests("stale"),
            loads: count("tramline_cache_loads_total"),
            refreshes: count("tramline_cache_refreshes_total"),
            followers: count("tramline_cache_shared_total"),
            load_errors: count("tramline_cache_load_errors_total"),
            refused: count("tramline_cache_refused_total"),
            unusable: count("tramline_cache_unusable_total"),
            lease_waits: count("tramline_cache_lease_waits_total"),
            invalidations: count("tramline_cache_invalidations_total"),
            read_bytes: bytes("read"),
            written_bytes: bytes("write"),
            weight: Level::new(gauge!("tramline_cache_weight_bytes", "cache" => name.clone())),
            entries: Level::new(gauge!("tramline_cache_entries", "cache" => name.clone())),
        }
    }

    /// Tells the facade what it has not heard yet.
    pub(crate) fn publish(&self) {
        self.hits_memory.publish();
        for count in [
            &self.hits_shared,
            &self.misses,
            &self.stale,
            &self.loads,
            &self.refreshes,
            &self.followers,
            &self.load_errors,
            &self.refused,
            &self.unusable,
            &self.lease_waits,
            &self.invalidations,
            &self.read_bytes,
            &self.written_bytes,
        ] {
            count.publish();
        }
    }
}

// === impl StoreMetrics ===

impl StoreMetrics {
    pub(crate) fn new() -> Self {
        describe_counter!("tramline_cache_redis_errors_total", "Calls to Redis that failed");
        describe_counter!("tramline_cache_flushes_total", "Times that memory was forgotten as a whole");
        describe_gauge!(
            "tramline_cache_detached",
            "Stores that do not hear the invalidations of other processes for now"
        );
        describe_gauge!("tramline_cache_loading", "Loads that run");
        describe_gauge!("tramline_cache_pending", "Invalidations that Redis has not heard yet");
        Self {
            tier_errors: Count::new(counter!("tramline_cache_redis_errors_total")),
            flushes: Count::new(counter!("tramline_cache_flushes_total")),
            detached: Level::new(gauge!("tramline_cache_detached")),
            loading: Level::new(gauge!("tramline_cache_loading")),
            pending: Level::new(gauge!("tramline_cache_pending")),
        }
    }

    pub(crate) fn publish(&self) {
        self.tier_errors.publish();
        self.flushes.publish();
    }
}

// === HTTP ===

#[cfg(feature = "tower")]
pub(crate) fn describe_http() {
    describe_counter!("tramline_cache_http_not_kept_total", "Answers of HTTP services that were not kept");
}

/// There are some fifteen reasons.
#[cfg(feature = "tower")]
pub(crate) fn http_not_kept(cache: &str, reason: &'static str) {
    counter!("tramline_cache_http_not_kept_total", "cache" => cache.to_owned(), "reason" => reason)
        .increment(1);
}

// === impl HitCount ===

impl HitCount {
    fn new(counter: Counter) -> Self {
        Self { numbers: ThreadLocal::new(), told: Told::new(counter) }
    }

    #[inline]
    pub(crate) fn add(&self) {
        let Padded(number) = self.numbers.get_or_default();
        // No other thread writes it.
        number.store(number.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.numbers.iter().map(|number| number.0.load(Ordering::Relaxed)).sum()
    }

    fn publish(&self) {
        self.told.up_to(self.get());
    }
}

impl Drop for HitCount {
    fn drop(&mut self) {
        self.publish();
    }
}

// === impl Count ===

impl Count {
    fn new(counter: Counter) -> Self {
        Self { number: AtomicU64::new(0), told: Told::new(counter) }
    }

    pub(crate) fn add(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_many(&self, many: usize) {
        self.number.fetch_add(many as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    fn publish(&self) {
        self.told.up_to(self.get());
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.publish();
    }
}

// === impl Told ===

impl Told {
    fn new(counter: Counter) -> Self {
        Self { number: AtomicU64::new(0), counter }
    }

    fn up_to(&self, number: u64) {
        let before = self.number.fetch_max(number, Ordering::Relaxed);
        self.counter.increment(number.saturating_sub(before));
    }
}

// === impl Level ===

impl Level {
    fn new(gauge: Gauge) -> Self {
        Self { told: AtomicU64::new(0), gauge }
    }

    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn set(&self, level: u64) {
        let before = self.told.swap(level, Ordering::Relaxed);
        if level >= before {
            self.gauge.increment((level - before) as f64);
        } else {
            self.gauge.decrement((before - level) as f64);
        }
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests;
