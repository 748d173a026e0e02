//! One load per key at a time.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;

use crate::entry::{Entry, Stamps};
use crate::key::Key;
use crate::tier::memory::Memory;

/// The loads that run, and the memory that they fill, under one lock: an invalidation and the end of a load
/// come one after the other, and in either order nothing old stays.
#[derive(Debug)]
pub(crate) struct Flights {
    pub(crate) memory: Memory,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    flights: HashMap<Key, Flight>,
    last_id: u64,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    stamps: Stamps,
    /// What followers wait for; none when nobody can follow.
    answer: Option<Answer>,
}

/// Resolves to the leader's answer; to an error when its load panicked.
pub(crate) type Answer = Shared<oneshot::Receiver<Arc<dyn Any + Send + Sync>>>;

/// The right to end a load. Dropped without [`land`](Self::land), followers are told and the key is free.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    key: Key,
    id: u64,
    /// Half of the followers' [`Answer`].
    answer: Option<oneshot::Sender<Arc<dyn Any + Send + Sync>>>,
}

// === impl Flights ===

impl Flights {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory, running: Mutex::default() }
    }

    /// The answer of a load that runs and was not invalidated.
    pub(crate) fn follow(&self, key: &Key) -> Option<Answer> {
        self.lock().answer(key)
    }

    /// Follows, or begins a load.
    pub(crate) fn join(self: &Arc<Self>, key: &Key, stamps: &Stamps) -> Result<Lead, Answer> {
        let mut running = self.lock();
        if let Some(answer) = running.answer(key) {
            return Err(answer);
        }
        let (sender, receiver) = oneshot::channel();
        Ok(self.begin(&mut running, key, stamps, Some(sender), Some(receiver.shared())))
    }

    /// Begins a write of which nobody hears. It takes the place of a load that runs, if `displace`.
    pub(crate) fn write(self: &Arc<Self>, key: &Key, stamps: &Stamps, displace: bool) -> Option<Lead> {
        let mut running = self.lock();
        if !displace && running.flights.contains_key(key) {
            return None;
        }
        Some(self.begin(&mut running, key, stamps, None, None))
    }

    /// Forgets an entry, and keeps what is being loaded from becoming one.
    pub(crate) fn invalidate(&self, key: &Key) {
        let mut running = self.lock();
        self.memory.remove(key);
        running.flights.remove(key);
    }

    fn begin(
        self: &Arc<Self>,
        running: &mut Running,
        key: &Key,
        stamps: &Stamps,
        sender: Option<oneshot::Sender<Arc<dyn Any + Send + Sync>>>,
        answer: Option<Answer>,
    ) -> Lead {
        running.last_id += 1;
        let id = running.last_id;
        running.flights.insert(key.clone(), Flight { id, stamps: stamps.clone(), answer });
        Lead { flights: self.clone(), key: key.clone(), id, answer: sender }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Running ===

impl Running {
    fn answer(&self, key: &Key) -> Option<Answer> {
        let flight = self.flights.get(key)?;
        // Who asks after an invalidation must not get what was asked for before it.
        flight.stamps.are_current().then(|| flight.answer.clone()).flatten()
    }

    /// True when it was still this one.
    fn end(&mut self, key: &Key, id: u64) -> bool {
        let ours = self.flights.get(key).is_some_and(|flight| flight.id == id);
        if ours {
            self.flights.remove(key);
        }
        ours
    }
}

// === impl Lead ===

impl Lead {
    /// Ends the load: into memory with the entry, unless it was invalidated, and the answer to the followers.
    /// False when it was invalidated.
    pub(crate) fn land(mut self, entry: Option<Entry>, answer: Option<Arc<dyn Any + Send + Sync>>) -> bool {
        let current = {
            let mut running = self.flights.lock();
            let current = running.end(&self.key, self.id);
            if let Some(entry) = entry.filter(|_| current) {
                self.flights.memory.insert(self.key.clone(), entry);
            }
            current
        };
        if let (Some(sender), Some(answer)) = (self.answer.take(), answer) {
            // Nobody may be waiting.
            let _ = sender.send(answer);
        }
        current
    }

    /// Lets the next caller begin anew; followers still get the answer.
    pub(crate) fn overdue(&self) {
        self.flights.lock().end(&self.key, self.id);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.lock().end(&self.key, self.id);
    }
}
