//! Settings, with the reason beside each default.

use std::time::Duration;

/// How a cache behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The value of the metrics' label `cache`. Default `cache`.
    pub name: String,
    /// What the names in Redis begin with, and the name of the feed. Default `tramline:cache`.
    pub prefix: String,
    /// How many bytes of this process's memory the entries may weigh: encoded size, key and overhead.
    ///
    /// The default, 32 MiB, is some 30,000 typical answers.
    pub max_weight: u64,
    /// The largest encoded value that is kept; a larger one is loaded each time.
    ///
    /// The default, 1 MiB: in Redis a value holds up all commands behind it while it is sent.
    pub max_value: usize,
    /// The bound of every life. Default one day.
    pub max_ttl: Duration,
    /// How long a load may take and still be kept. After that the next caller starts another.
    /// Default 30 s, as long as a request waits.
    pub load_timeout: Duration,
    /// How many loads may run at once; more wait.
    ///
    /// The default, 1024, is more than any database behind it answers at once.
    pub max_loads: usize,
    /// How long to wait for another process that loads the same. Default 2 s, then this one loads too.
    pub lease_wait: Duration,
    /// How long an answer of Redis may take. Default 250 ms: a load is mostly faster than that.
    pub redis_timeout: Duration,
    /// How long a connection to Redis may take to stand. Default 1 s.
    pub connect_timeout: Duration,
    /// The bound of the pauses while Redis is away, doubling from 50 ms. Default 2 s.
    pub max_pause: Duration,
    /// How old an entry in memory may be while nobody tells us of invalidations: Redis away, or
    /// [`run`](crate::Cache::run) not running.
    ///
    /// The default, 10 s, keeps the load off the database and the error short.
    pub detached_age: Duration,
    /// How many invalidations are remembered for a Redis that is away. Default 1024; more become one of
    /// everything.
    pub max_pending: usize,
}

// === impl CacheConfig ===

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            name: "cache".to_owned(),
            prefix: "tramline:cache".to_owned(),
            max_weight: 32 * 1024 * 1024,
            max_value: 1024 * 1024,
            max_ttl: Duration::from_secs(24 * 60 * 60),
            load_timeout: Duration::from_secs(30),
            max_loads: 1024,
            lease_wait: Duration::from_secs(2),
            redis_timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(1),
            max_pause: Duration::from_secs(2),
            detached_age: Duration::from_secs(10),
            max_pending: 1024,
        }
    }
}
