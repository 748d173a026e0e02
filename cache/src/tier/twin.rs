//! Stands in for Redis: several nodes in one process, each of which can be cut off.

mod node;
mod slots;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use crate::tier::twin::node::Node;
use crate::tier::twin::state::State;

/// What the stores of one test share instead of a Redis. Clones are the same one.
///
/// Nodes are counted in the order in which their stores are made, beginning with 0. Time is tokio's, so that tests can
/// pause it.
#[derive(Clone)]
pub struct Twin {
    state: Arc<Mutex<State>>,
    start: Instant,
}

/// What the clock begins at, in ms: not 0, so that nobody takes it for a process's own.
const EPOCH: u64 = 1_700_000_000_000;

// === impl Twin ===

impl Twin {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::new())), start: Instant::now() }
    }

    /// Cuts a node off: it notices at once. What it ends meanwhile is told when it is back.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn cut(&self, node: usize) {
        self.lock().weather(node, |weather| weather.cut = true);
    }

    /// Lets nothing through to a node's ears any more, without a word: it notices within a second. It reads and writes
    /// as before.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn deafen(&self, node: usize) {
        self.lock().weather(node, |weather| weather.deaf = true);
    }

    /// Loses the next message to a node, without a word: it notices with the message after it, or within two seconds.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn lose_one(&self, node: usize) {
        self.lock().weather(node, |weather| weather.lossy = true);
    }

    /// From now on a node hears everything so much later, in order.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn lag(&self, node: usize, by: Duration) {
        self.lock().weather(node, |weather| weather.lag = by);
    }

    /// From now on what a node asks and is answered takes up to so long on each way, by chance.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn slow(&self, node: usize, by: Duration) {
        self.lock().weather(node, |weather| weather.slow = by);
    }

    /// Takes a cut or deaf node back; it stays as slow as it is.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn heal(&self, node: usize) {
        let now = self.now();
        self.lock().heal(node, now);
    }

    /// Loses all data, as a Redis that is restarted without its file; nobody is told.
    pub fn restart_empty(&self) {
        self.lock().forget();
    }

    /// Loses the marks alone, as a full Redis that removes what was not asked for lately; nobody is told.
    pub fn evict_marks(&self) {
        self.lock().evict_marks();
    }

    /// How many questions a node has asked, and words it has told, each of which is a trip to Redis.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn asked(&self, node: usize) -> u64 {
        self.lock().asked(node)
    }

    /// How long each value or lease has to live, and each mark, in ms.
    #[cfg(test)]
    pub(crate) fn lives(&self) -> [Vec<u64>; 2] {
        self.lock().lives(self.now())
    }

    pub(crate) fn node(&self) -> Node {
        let id = self.lock().join();
        Node::new(self.clone(), id)
    }

    /// In ms.
    fn now(&self) -> u64 {
        EPOCH + u64::try_from(self.start.elapsed().as_millis()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Twin {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twin").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
