//! How many requests of an upstream may go out again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::config::RetryBudget;

/// A bucket of retries: each request brings a share of one, and some come with time.
///
/// Without it an upstream that fails gets `attempts` times its load at the moment when it can bear the least. The idea,
/// and both numbers, are those of Finagle's `RetryBudget`; here what requests have brought does not expire, and is
/// bounded instead.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Thousandths of a retry that a request brings.
    share: u64,
    /// Thousandths, from requests.
    brought: AtomicU64,
    per_second: f64,
    floor: Mutex<Floor>,
}

/// What comes with time.
#[derive(Debug)]
struct Floor {
    left: f64,
    at: Instant,
}

/// In thousandths: what requests can bring in advance. A burst of failures is answered by as many retries at most.
const BROUGHT_MAX: u64 = 1000 * RETRY;

/// In thousandths.
const RETRY: u64 = 1000;

/// For how many seconds the floor adds up while nothing is sent again.
const FLOOR_SECONDS: f64 = 10.0;

// === impl Budget ===

impl Budget {
    pub(crate) fn new(config: &RetryBudget) -> Self {
        let per_second = f64::from(config.per_second);
        Self {
            share: u64::from(config.percent) * RETRY / 100,
            brought: AtomicU64::new(0),
            per_second,
            floor: Mutex::new(Floor { left: per_second * FLOOR_SECONDS, at: Instant::now() }),
        }
    }

    /// A request goes out for the first time.
    pub(crate) fn deposit(&self) {
        // Others may do so at the same time: the bound is passed by as many shares at most.
        if self.share > 0 && self.brought.load(Ordering::Relaxed) < BROUGHT_MAX {
            self.brought.fetch_add(self.share, Ordering::Relaxed);
        }
    }

    /// Whether one may go out again, which takes a retry out.
    pub(crate) fn withdraw(&self) -> bool {
        let brought = |brought: u64| brought.checked_sub(RETRY);
        if self.brought.fetch_update(Ordering::Relaxed, Ordering::Relaxed, brought).is_ok() {
            return true;
        }
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = now.duration_since(floor.at).as_secs_f64();
        floor.left = since.mul_add(self.per_second, floor.left).min(self.per_second * FLOOR_SECONDS);
        floor.at = now;
        let enough = floor.left >= 1.0;
        if enough {
            floor.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests;
