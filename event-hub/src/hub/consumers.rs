//! The consumers that run, for the hub's health.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::consumer::Gate;
use crate::driver::SubscriptionState;
use crate::health::ConsumerHealth;

/// The consumers that run, and those that have halted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumers(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// In the order in which they began.
    running: BTreeMap<u64, Running>,
    /// By queue: the error, until the queue is consumed again.
    halted: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Running {
    queue: String,
    state: Arc<SubscriptionState>,
    /// Absent where there is no handler that could fail.
    gate: Option<Arc<Gate>>,
}

/// A consumer's entry, which goes with it on every way out.
#[derive(Debug)]
pub(crate) struct Entry {
    consumers: Consumers,
    id: u64,
}

// === impl Consumers ===

impl Consumers {
    pub(super) fn enter(
        &self,
        queue: &str,
        state: &Arc<SubscriptionState>,
        gate: Option<Arc<Gate>>,
    ) -> Entry {
        let mut inner = self.inner();
        inner.halted.remove(queue);
        let id = inner.next;
        inner.next += 1;
        let running = Running { queue: queue.to_owned(), state: Arc::clone(state), gate };
        inner.running.insert(id, running);
        Entry { consumers: self.clone(), id }
    }

    pub(super) fn halted(&self, queue: &str, why: &str) {
        self.inner().halted.insert(queue.to_owned(), why.to_owned());
    }

    pub(super) fn health(&self) -> Vec<ConsumerHealth> {
        let inner = self.inner();
        let running = inner.running.values().map(|running| ConsumerHealth {
            queue: running.queue.clone(),
            active: running.state.active.load(Ordering::Acquire),
            breaker: running.gate.as_ref().map(|gate| gate.state()).unwrap_or_default(),
            halted: None,
            trouble: running.state.last_trouble(),
        });
        let halted = inner.halted.iter().map(|(queue, why)| ConsumerHealth {
            queue: queue.clone(),
            active: false,
            breaker: crate::health::BreakerState::default(),
            halted: Some(why.clone()),
            trouble: None,
        });
        running.chain(halted).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.consumers.inner().running.remove(&self.id);
    }
}
