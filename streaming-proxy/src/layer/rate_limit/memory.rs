//! Buckets in the process: governor's GCRA over a store that forgets.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use metrics::Gauge;
use tokio::time::Instant;

use crate::layer::rate_limit::decision::Bucket;
use crate::layer::rate_limit::quota::Quota;

/// The buckets of one limiter.
pub(crate) struct Memory {
    limiter: RateLimiter<u128, Generations, TokioClock, StateInformationMiddleware>,
    hashers: [RandomState; 2],
}

/// A bounded store in shards of two generations each: when the young one is full it becomes the old one, and what was
/// old is forgotten. What is used moves to the young one.
#[derive(Debug)]
struct Generations {
    shards: Vec<Mutex<Shard>>,
    /// How many a young generation holds.
    max: usize,
    keys: Keys,
}

/// How many keys are held, in the gauge that tells it.
struct Keys {
    gauge: Gauge,
    held: AtomicUsize,
}

/// The time at which each key's bucket will be full. Keys are hashes under secret numbers: short, and nobody can make
/// two meet.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u128, Nanos>,
    old: HashMap<u128, Nanos>,
}

/// tokio's clock, so that tests can stop it.
#[derive(Clone, Debug)]
struct TokioClock {
    start: Instant,
}

/// Enough that two cores rarely meet at one lock.
const SHARDS: usize = 16;

// === impl Memory ===

impl Memory {
    pub(crate) fn new(quota: Quota, max_keys: usize, gauge: Gauge) -> Self {
        let burst = quota.limit_non_zero();
        // INVARIANT: an interval is at least a nanosecond, so this is never the other branch.
        let quota = governor::Quota::with_period(quota.interval())
            .unwrap_or_else(|| governor::Quota::per_second(burst))
            .allow_burst(burst);
        let store = Generations {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max: (max_keys / 2 / SHARDS).max(1),
            keys: Keys { gauge, held: AtomicUsize::new(0) },
        };
        let clock = TokioClock { start: Instant::now() };
        Self {
            limiter: RateLimiter::new(quota, store, clock),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    pub(crate) fn take(&self, key: &str) -> Bucket {
        let [high, low] = &self.hashers;
        let key = (u128::from(high.hash_one(key)) << 64) | u128::from(low.hash_one(key));
        match self.limiter.check_key(&key) {
            Ok(state) => Bucket::Left(state.remaining_burst_capacity()),
            Err(until) => Bucket::Empty(until.wait_time_from(self.limiter.clock().now())),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

// === impl Generations ===

impl StateStore for Generations {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // SHARDS is small: the cast keeps the bits that choose.
        #[allow(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let index = *key as usize % SHARDS;
        let Some(shard) = self.shards.get(index) else { return measure(None).map(|(taken, _)| taken) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let held = shard.len();
        let before = shard.young.get(key).copied().or_else(|| shard.old.remove(key));
        let (result, now) = match measure(before) {
            Ok((taken, after)) => (Ok(taken), Some(after)),
            Err(refused) => (Err(refused), before),
        };
        if let Some(now) = now {
            shard.insert(*key, now, self.max);
        }
        self.keys.changed(held, shard.len());
        result
    }
}

// === impl Keys ===

impl Keys {
    fn changed(&self, before: usize, after: usize) {
        // Nearly always by nothing: a key that is known.
        if let Some(more) = after.checked_sub(before).filter(|more| *more > 0) {
            self.held.fetch_add(more, Ordering::Relaxed);
            self.gauge.increment(float(more));
        } else if let Some(fewer) = before.checked_sub(after).filter(|fewer| *fewer > 0) {
            self.held.fetch_sub(fewer, Ordering::Relaxed);
            self.gauge.decrement(float(fewer));
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.gauge.decrement(float(*self.held.get_mut()));
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("held", &self.held).finish_non_exhaustive()
    }
}

/// Bounded by `max_keys`, far below what a float holds exactly.
fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

// === impl Shard ===

impl Shard {
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn insert(&mut self, key: u128, value: Nanos, max: usize) {
        if self.young.len() >= max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

// === impl TokioClock ===

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.start.elapsed().into()
    }
}

#[cfg(test)]
mod tests;
