//! What waits for a handler: in line, or behind an event of its own key.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use crate::handler::Received;
use crate::handover::{Line, Refused};
use crate::message::Delivery;

/// One delivery on its way through this consumer.
pub(super) struct Job {
    pub(super) delivery: Delivery,
    /// Made when it is first looked into.
    pub(super) received: Option<Received>,
    /// What must not pass it.
    pub(super) key: Option<String>,
    /// Since when it is tried, pauses of the whole consumer left out.
    pub(super) tried: Option<Instant>,
    /// What the last try took.
    pub(super) took: Duration,
    /// Since when it stands back for the consumer's pause.
    pub(super) parked: Option<Instant>,
}

/// The line before the handlers of a consumer that keeps order.
///
/// INVARIANT: of each key one job at most is in the line or with a handler; `behind` has an entry for exactly
/// these keys, with those that wait for it.
pub(super) struct Lanes {
    heads: Line<Job>,
    behind: Mutex<Behind>,
}

#[derive(Default)]
struct Behind {
    generation: u64,
    keys: HashMap<String, VecDeque<Job>>,
}

// === impl Job ===

impl Job {
    pub(super) fn generation(&self) -> u64 {
        self.delivery.token.generation
    }
}

impl From<Delivery> for Job {
    fn from(delivery: Delivery) -> Self {
        Self { delivery, received: None, key: None, tried: None, took: Duration::ZERO, parked: None }
    }
}

// === impl Lanes ===

impl Lanes {
    /// `capacity` holds all that can be out at once.
    pub(super) fn new(capacity: usize) -> Self {
        Self { heads: Line::new(capacity), behind: Mutex::default() }
    }

    /// Those that may be handled. Never closed.
    pub(super) fn heads(&self) -> &Line<Job> {
        &self.heads
    }

    /// Lines it up, or puts it behind the others of its key.
    pub(super) async fn push(&self, job: Job) {
        let Some(job) = self.behind().put(job) else { return };
        let _ = self.heads.push(job).await;
    }

    /// Ends the turn of a key: the next behind it gets in line, and is returned when there is no room in it.
    #[must_use]
    pub(super) fn done(&self, key: &str) -> Option<Job> {
        let next = self.behind().next(key)?;
        self.again(next)
    }

    /// Puts it at the end of the line, its key kept; it is returned when there is no room.
    #[must_use]
    pub(super) fn again(&self, job: Job) -> Option<Job> {
        match self.heads.try_push(job) {
            Ok(()) => None,
            Err(Refused::Full(job) | Refused::Closed(job)) => Some(job),
        }
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Behind ===

impl Behind {
    /// Gives it back when nothing is before it.
    fn put(&mut self, job: Job) -> Option<Job> {
        let generation = job.generation();
        if generation > self.generation {
            // The broker has these back already; a connection that flaps must not pile them up here.
            self.generation = generation;
            self.keys.values_mut().for_each(VecDeque::clear);
        }
        let Some(key) = job.key.clone() else { return Some(job) };
        match self.keys.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut others) => {
                others.get_mut().push_back(job);
                None
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(VecDeque::new());
                Some(job)
            }
        }
    }

    fn next(&mut self, key: &str) -> Option<Job> {
        let next = self.keys.get_mut(key)?.pop_front();
        if next.is_none() {
            self.keys.remove(key);
        }
        next
    }
}

#[cfg(test)]
mod tests;
