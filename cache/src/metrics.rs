//! Counters: one number for [`Stats`](crate::Stats), one for the metrics facade.
//!
//! Caches of one name, in several stores or versions, tell the facade together: each adds its own part, and takes back what
//! is no more.

pub(crate) mod names;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use thread_local::ThreadLocal;

use crate::cache::Reason;

/// What one cache did.
pub(crate) struct CacheMetrics {
    name: String,
    pub(crate) hits_memory: HitCount,
    pub(crate) hits_shared: HitCount,
    pub(crate) misses: Count,
    pub(crate) stale: Count,
    pub(crate) stale_if_error: Count,
    pub(crate) absent: Count,
    pub(crate) loads: Count,
    pub(crate) refreshes: Count,
    pub(crate) followers: Count,
    pub(crate) load_errors: Count,
    pub(crate) refused: Count,
    /// By [`Reason`].
    pub(crate) unusable: [Count; Reason::ALL.len()],
    pub(crate) lease_waits: Count,
    pub(crate) invalidations: Count,
    pub(crate) read_bytes: HitCount,
    pub(crate) written_bytes: Count,
    /// Of loads that succeed.
    load_duration: Histogram,
    pub(crate) weight: Level,
    pub(crate) entries: Level,
}

/// What happened to the store.
pub(crate) struct StoreMetrics {
    pub(crate) tier_errors: Count,
    pub(crate) flushes: Count,
    pub(crate) tag_invalidations: Count,
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
        names::describe_cache();
        let name = name.to_owned();
        let requests =
            |from: &'static str| counter!(names::REQUESTS, "cache" => name.clone(), "from" => from);
        let bytes = |way: &'static str| counter!(names::IO, "cache" => name.clone(), "direction" => way);
        let unusable = |reason: Reason| {
            Count::new(counter!(names::UNUSABLE, "cache" => name.clone(), "reason" => reason.label()))
        };
        let count = |metric: &'static str| Count::new(counter!(metric, "cache" => name.clone()));
        Self {
            hits_memory: HitCount::new(requests("memory")),
            hits_shared: HitCount::new(requests("redis")),
            misses: Count::new(requests("load")),
            stale: Count::new(requests("stale")),
            stale_if_error: Count::new(requests("stale_if_error")),
            absent: Count::new(requests("absent")),
            loads: count(names::LOADS),
            refreshes: count(names::REFRESHES),
            followers: count(names::FOLLOWERS),
            load_errors: count(names::LOAD_ERRORS),
            refused: count(names::REFUSED),
            unusable: Reason::ALL.map(unusable),
            lease_waits: count(names::LEASE_WAITS),
            invalidations: count(names::INVALIDATIONS),
            read_bytes: HitCount::new(bytes("read")),
            written_bytes: Count::new(bytes("write")),
            load_duration: histogram!(names::LOAD_DURATION, "cache" => name.clone()),
            weight: Level::new(gauge!(names::WEIGHT, "cache" => name.clone())),
            entries: Level::new(gauge!(names::ENTRIES, "cache" => name.clone())),
            name,
        }
    }

    /// How long a load took; `error`: one of the few words for why it failed.
    pub(crate) fn load_took(&self, took: Duration, error: Option<&'static str>) {
        match error {
            None => self.load_duration.record(took),
            Some(error) => {
                let name = self.name.clone();
                histogram!(names::LOAD_DURATION, "cache" => name, "error.type" => error).record(took);
            }
        }
    }

    /// Tells the facade what it has not heard yet.
    pub(crate) fn publish(&self) {
        for count in [&self.hits_memory, &self.hits_shared, &self.read_bytes] {
            count.publish();
        }
        for count in [
            &self.misses,
            &self.stale,
            &self.stale_if_error,
            &self.absent,
            &self.loads,
            &self.refreshes,
            &self.followers,
            &self.load_errors,
            &self.refused,
            &self.lease_waits,
            &self.invalidations,
            &self.written_bytes,
        ] {
            count.publish();
        }
        self.unusable.iter().for_each(Count::publish);
    }

    pub(crate) fn unusable(&self, reason: Reason) -> &Count {
        &self.unusable[reason as usize]
    }
}

// === impl StoreMetrics ===

impl StoreMetrics {
    pub(crate) fn new() -> Self {
        names::describe_store();
        Self {
            tier_errors: Count::new(counter!(names::REDIS_ERRORS)),
            flushes: Count::new(counter!(names::FLUSHES)),
            tag_invalidations: Count::new(counter!(names::TAG_INVALIDATIONS)),
            detached: Level::new(gauge!(names::DETACHED)),
            loading: Level::new(gauge!(names::LOADING)),
            pending: Level::new(gauge!(names::PENDING)),
        }
    }

    pub(crate) fn publish(&self) {
        self.tier_errors.publish();
        self.flushes.publish();
        self.tag_invalidations.publish();
    }
}

// === HTTP ===

#[cfg(feature = "tower")]
pub(crate) fn describe_http() {
    names::describe_http();
}

/// Of requests that a rule names. There are seven reasons.
#[cfg(feature = "tower")]
pub(crate) fn http_passed_by(cache: &str, reason: &'static str) {
    counter!(names::HTTP_PASSED_BY, "cache" => cache.to_owned(), "reason" => reason).increment(1);
}

/// There are some fifteen reasons.
#[cfg(feature = "tower")]
pub(crate) fn http_not_kept(cache: &str, reason: &'static str) {
    counter!(names::HTTP_NOT_KEPT, "cache" => cache.to_owned(), "reason" => reason).increment(1);
}

// === impl HitCount ===

impl HitCount {
    fn new(counter: Counter) -> Self {
        Self { numbers: ThreadLocal::new(), told: Told::new(counter) }
    }

    #[inline]
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    #[inline]
    pub(crate) fn add_many(&self, many: usize) {
        let Padded(number) = self.numbers.get_or_default();
        // No other thread writes it.
        number.store(number.load(Ordering::Relaxed) + many as u64, Ordering::Relaxed);
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
