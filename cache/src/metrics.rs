//! Counters: one number for [`Stats`](crate::Stats), one for the metrics facade.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

pub(crate) struct Metrics {
    pub(crate) hits_l1: Count,
    pub(crate) hits_l2: Count,
    pub(crate) misses: Count,
    pub(crate) loads: Count,
    pub(crate) shared: Count,
    pub(crate) errors: Count,
    pub(crate) stale: Count,
    pub(crate) unusable: Count,
    pub(crate) redis_errors: Count,
    pub(crate) invalidations: Count,
    pub(crate) flushes: Count,
    pub(crate) weight: Gauge,
    pub(crate) loading: Gauge,
    pub(crate) attached: Gauge,
}

pub(crate) struct Count {
    number: AtomicU64,
    counter: Counter,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(name: &str) -> Self {
        describe_counter!("tramline_cache_requests_total", "Questions by where the answer came from");
        describe_counter!("tramline_cache_loads_total", "Loads begun");
        describe_counter!("tramline_cache_shared_total", "Callers that got the answer of another one's load");
        describe_counter!("tramline_cache_load_errors_total", "Loads that failed or panicked");
        describe_counter!("tramline_cache_stale_total", "Answers not kept: invalidated while loaded");
        describe_counter!(
            "tramline_cache_unusable_total",
            "Values that cannot be read or written, or are too large"
        );
        describe_counter!("tramline_cache_redis_errors_total", "Calls to Redis that failed");
        describe_counter!("tramline_cache_invalidations_total", "Invalidations, own and heard");
        describe_counter!("tramline_cache_flushes_total", "Times that memory was forgotten as a whole");
        describe_gauge!("tramline_cache_weight_bytes", "Weight of the entries in memory");
        describe_gauge!("tramline_cache_loading", "Loads that run");
        describe_gauge!("tramline_cache_attached", "1 while invalidations of other processes are heard");
        let requests = |from: &'static str| {
            Count::new(counter!("tramline_cache_requests_total", "cache" => name.to_owned(), "from" => from))
        };
        let count = |metric: &'static str| Count::new(counter!(metric, "cache" => name.to_owned()));
        Self {
            hits_l1: requests("memory"),
            hits_l2: requests("redis"),
            misses: requests("load"),
            loads: count("tramline_cache_loads_total"),
            shared: count("tramline_cache_shared_total"),
            errors: count("tramline_cache_load_errors_total"),
            stale: count("tramline_cache_stale_total"),
            unusable: count("tramline_cache_unusable_total"),
            redis_errors: count("tramline_cache_redis_errors_total"),
            invalidations: count("tramline_cache_invalidations_total"),
            flushes: count("tramline_cache_flushes_total"),
            weight: gauge!("tramline_cache_weight_bytes", "cache" => name.to_owned()),
            loading: gauge!("tramline_cache_loading", "cache" => name.to_owned()),
            attached: gauge!("tramline_cache_attached", "cache" => name.to_owned()),
        }
    }
}

// === impl Count ===

impl Count {
    fn new(counter: Counter) -> Self {
        Self { number: AtomicU64::new(0), counter }
    }

    pub(crate) fn add(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
        self.counter.increment(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }
}
