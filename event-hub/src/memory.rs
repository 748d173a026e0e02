//! The embedded broker: exchanges, queues, acknowledgements, delays and dead letters inside this process.
//!
//! One lock holds the state and is never held over an await. A publisher first takes a place in every work
//! queue that its message goes to, waiting for it in turn, and then puts its copies in under the lock. A copy
//! that moves inside the broker (expired, delivered too often) keeps no place, so that the broker itself
//! never waits: what is in it was admitted once.

mod clock;
mod lineage;
mod queue;
mod state;
mod subscriber;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::MemoryConfig;
use crate::driver::{Subscribe, Subscription};
use crate::error::{Error, ErrorKind};
use crate::health::QueueStats;
use crate::memory::state::State;
use crate::message::Message;
use crate::publish::{PublishErrorKind, Receipt};
use crate::topology::{Declared, Topology};

pub(crate) use crate::memory::lineage::Lineage;

/// A handle to the broker. It ends with its last handle.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    shared: Arc<Shared>,
    /// Stops the clock when the last handle goes.
    _clock: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the clock: something earlier than it sleeps for.
    sooner: Notify,
    closed: CancellationToken,
}

// === impl Broker ===

impl Broker {
    pub(crate) fn new(config: &MemoryConfig) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(config.queue_capacity.0)),
            sooner: Notify::new(),
            closed: CancellationToken::new(),
        });
        let stop = CancellationToken::new();
        tokio::spawn(clock::run(Arc::downgrade(&shared), stop.clone()));
        Self { shared, _clock: Arc::new(stop.drop_guard()) }
    }

    /// Makes the whole; of what is new, tells what is in `own`, and the rest to whom it belongs.
    pub(crate) fn declare(&self, whole: &Topology, own: &Topology) -> Result<Declared, Error> {
        if self.is_closed() {
            return Err(Error::new(ErrorKind::Closed, ""));
        }
        let declared = self.shared.state().declare(&whole.resolved(), own);
        self.shared.sooner.notify_one();
        Ok(declared)
    }

    pub(crate) fn topology(&self) -> Topology {
        self.shared.state().topology()
    }

    pub(crate) async fn publish(
        &self,
        messages: Vec<Message>,
        deadline: Instant,
    ) -> Vec<Result<Receipt, PublishErrorKind>> {
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            answers.push(self.publish_one(message, deadline).await);
        }
        answers
    }

    pub(crate) fn subscribe(&self, subscribe: Subscribe) -> Subscription {
        subscriber::start(self.clone(), subscribe)
    }

    pub(crate) fn stats(&self, queue: &str) -> Option<QueueStats> {
        self.shared.state().queues.get(queue).map(queue::Queue::stats)
    }

    pub(crate) fn all_stats(&self) -> Vec<QueueStats> {
        let mut all: Vec<_> = self.shared.state().queues.values().map(queue::Queue::stats).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }

    pub(crate) fn close(&self) {
        self.shared.closed.cancel();
    }

    async fn publish_one(
        &self,
        mut message: Message,
        deadline: Instant,
    ) -> Result<Receipt, PublishErrorKind> {
        let (targets, places) = {
            let state = self.shared.state();
            let targets = state.route(&message.exchange, &message.key);
            let places = state.places(&targets);
            (targets, places)
        };
        if targets.is_empty() {
            return Err(PublishErrorKind::Returned {
                code: 312,
                text: "NO_ROUTE".to_owned(),
                key: message.key,
            });
        }
        let mut permits = Vec::with_capacity(places.len());
        for (queue, places) in places {
            // ORDER: by name, as every publisher does, so that two never wait for each other; and in turn.
            let place = match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => Ok(Ok(place)),
                Err(_) => tokio::select! {
                    () = self.shared.closed.cancelled() => return Err(PublishErrorKind::Closed),
                    place = timeout_at(deadline, places.acquire_owned()) => place,
                },
            };
            match place {
                Ok(Ok(place)) => permits.push((queue, place)),
                Ok(Err(_)) => {} // The queue went away meanwhile; `put` leaves it out.
                Err(_) => return Err(PublishErrorKind::Timeout),
            }
        }
        if self.is_closed() {
            return Err(PublishErrorKind::Closed);
        }
        let (lineage, settled) = match message.lineage.take() {
            Some(lineage) => (lineage, None),
            None => {
                let (lineage, settled) = Lineage::new();
                (lineage, Some(settled))
            }
        };
        // Held until every copy has its own share, so that a fast consumer cannot settle too early.
        let first = lineage.share();
        message.lineage = Some(lineage);
        let sooner = self.shared.state().put(&targets, permits, &message);
        if sooner {
            self.shared.sooner.notify_one();
        }
        first.settle();
        Ok(settled.map_or_else(Receipt::kept_by_broker, Receipt::until_settled))
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // INVARIANT: no caller's code runs under the lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
