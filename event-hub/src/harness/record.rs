//! What went through a hub.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::consumer::Ended;
use crate::envelope::Event;
use crate::message::Delivery;

/// One delivery that has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Delivered {
    /// The queue it came from.
    pub queue: String,
    /// The event's type, or the key of what is no event.
    pub event_type: String,
    /// The event's id, where the message has one.
    pub event_id: Option<String>,
    /// Which try it was.
    pub attempt: u32,
    /// How it ended.
    pub ended: Ended,
    /// Why, when it did not end well: the error's chain.
    pub reason: Option<String>,
}

/// Shared by a harness and its hub.
#[derive(Debug)]
pub(crate) struct Record {
    log: Mutex<Log>,
    /// One more with each entry; half of the wait in the harness.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Log {
    published: BTreeMap<String, u64>,
    ended: BTreeMap<(String, String, Ended), u64>,
    events: VecDeque<Event>,
    deliveries: VecDeque<Delivered>,
}

/// A test that looks at each of more than so many entries is a load test.
const KEPT: usize = 10_000;

// === impl Record ===

impl Record {
    pub(crate) fn publish(&self, event: &Event) {
        {
            let mut log = self.log();
            *log.published.entry(event.event_type.clone()).or_default() += 1;
            push(&mut log.events, event.clone());
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(crate) fn end(&self, delivery: &Delivery, attempt: u32, ended: Ended, reason: Option<&str>) {
        let message = &delivery.message;
        let delivered = Delivered {
            queue: delivery.queue.to_string(),
            event_type: message.kind().unwrap_or_else(|| message.key()).to_owned(),
            event_id: message.id().map(str::to_owned),
            attempt,
            ended,
            reason: reason.map(str::to_owned),
        };
        {
            let mut log = self.log();
            let key = (delivered.queue.clone(), delivered.event_type.clone(), ended);
            *log.ended.entry(key).or_default() += 1;
            push(&mut log.deliveries, delivered);
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(super) fn published(&self, event_type: &str) -> u64 {
        self.log().published.get(event_type).copied().unwrap_or(0)
    }

    pub(super) fn events(&self, event_type: &str) -> Vec<Event> {
        self.log().events.iter().filter(|event| event.event_type == event_type).cloned().collect()
    }

    pub(super) fn ended(&self, queue: &str, event_type: &str, how: Ended) -> u64 {
        let key = (queue.to_owned(), event_type.to_owned(), how);
        self.log().ended.get(&key).copied().unwrap_or(0)
    }

    pub(super) fn deliveries(&self, wanted: impl Fn(&Delivered) -> bool) -> Vec<Delivered> {
        self.log().deliveries.iter().filter(|delivered| wanted(delivered)).cloned().collect()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// For the words of a test that fails.
    pub(super) fn summary(&self) -> String {
        let log = self.log();
        format!("published {:?}, ended {:?}", log.published, log.ended)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // INVARIANT: nobody's code runs under the lock, so a poisoned log is still whole.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Record {
    fn default() -> Self {
        Self { log: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

/// The oldest goes when there are too many: counts stay right.
fn push<T>(entries: &mut VecDeque<T>, entry: T) {
    if entries.len() == KEPT {
        entries.pop_front();
    }
    entries.push_back(entry);
}
