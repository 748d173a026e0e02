//! Attempts counted in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::attempts::{AttemptsConfig, Names, TooManyAttempts};
use crate::clock::{after, between};

pub(crate) struct Memory {
    per_account: u32,
    per_address: u32,
    window: Duration,
    capacity: usize,
    counters: Mutex<HashMap<String, Counter>>,
}

struct Counter {
    failures: u32,
    ends_at: Timestamp,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(config: &AttemptsConfig) -> Self {
        Self {
            per_account: config.per_account,
            per_address: config.per_address,
            window: config.window,
            // Two counters an attempt.
            capacity: config.capacity.max(2),
            counters: Mutex::default(),
        }
    }

    pub(crate) fn count(&self, names: &Names, now: Timestamp) -> Result<(), TooManyAttempts> {
        let mut counters = self.lock();
        let limits = [(&names.account, self.per_account), (&names.address, self.per_address)];
        for (name, limit) in limits {
            if let Some(counter) = counters.get(name)
                && counter.ends_at > now
                && counter.failures >= limit
            {
                let retry_after = between(now, counter.ends_at);
                return Err(TooManyAttempts { retry_after });
            }
        }
        for (name, _) in limits {
            if !counters.contains_key(name) {
                self.make_room(&mut counters, now);
            }
            let fresh = || Counter { failures: 0, ends_at: after(now, self.window) };
            let counter = counters.entry(name.clone()).or_insert_with(fresh);
            if counter.ends_at <= now {
                *counter = fresh();
            }
            counter.failures = counter.failures.saturating_add(1);
        }
        Ok(())
    }

    pub(crate) fn take_back(&self, names: &Names, all: bool) {
        let mut counters = self.lock();
        if all {
            counters.remove(&names.account);
        } else if let Some(counter) = counters.get_mut(&names.account) {
            counter.failures = counter.failures.saturating_sub(1);
        }
        if let Some(counter) = counters.get_mut(&names.address) {
            counter.failures = counter.failures.saturating_sub(1);
        }
    }

    fn make_room(&self, counters: &mut HashMap<String, Counter>, now: Timestamp) {
        if counters.len() < self.capacity {
            return;
        }
        counters.retain(|_, counter| counter.ends_at > now);
        if counters.len() < self.capacity {
            return;
        }
        // A tenth at once, those that end first: a full map is not searched at every attempt.
        let mut ends: Vec<_> = counters.values().map(|counter| counter.ends_at).collect();
        let tenth = ends.len() / 10;
        let (_, last, _) = ends.select_nth_unstable(tenth);
        let last = *last;
        counters.retain(|_, counter| counter.ends_at > last);
    }

    // Counters are whole after every statement: poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("counters", &self.lock().len()).finish()
    }
}
