//! The embedded broker: exchanges, queues, acknowledgements, delays and dead letters inside this process.
//!
//! One lock holds the state and is never held over an await. A publisher first takes a place in every work
//! queue that its message goes to, waiting for it in turn, and then puts its copies in under the lock. A copy
//! that moves inside the broker (expired, delivered too often) keeps the place it was admitted to, so that the
//! broker itself never waits and holds no more than was admitted; only what comes back from the delays has none.

mod clock;
mod lineage;
mod queue;
mod state;
mod subscriber;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::MemoryConfig;
use crate::driver::{Subscribe, Subscription};
use crate::error::{Error, ErrorKind};
use crate::health::QueueStats;
use crate::memory::state::{Places, State, Wakes};
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

/// A message that is being published.
#[derive(Debug)]
struct Incoming {
    message: Arc<Message>,
    /// Of one that nobody has a receipt of yet.
    fresh: Option<Lineage>,
}

/// How many messages are put away, taken or settled under one lock.
const BATCH: usize = 64;

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
        let mut rest: VecDeque<Incoming> = messages.into_iter().map(Incoming::from).collect();
        while let Some(full) = self.put_ready(&mut rest, &mut answers) {
            answers.push(self.put_later(full, deadline).await);
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

    /// Puts away those that there is room for at once, up to one for which there is none: that one is returned.
    fn put_ready(
        &self,
        rest: &mut VecDeque<Incoming>,
        answers: &mut Vec<Result<Receipt, PublishErrorKind>>,
    ) -> Option<Incoming> {
        let mut wakes = Wakes::default();
        while !rest.is_empty() {
            if self.is_closed() {
                answers.extend(rest.drain(..).map(|_| Err(PublishErrorKind::Closed)));
                return None;
            }
            let full = self.put_batch(rest, answers, &mut wakes);
            self.wake(&mut wakes);
            if full.is_some() {
                return full;
            }
        }
        None
    }

    /// Puts away as many as may be at once: consumers get their turn in between.
    fn put_batch(
        &self,
        rest: &mut VecDeque<Incoming>,
        answers: &mut Vec<Result<Receipt, PublishErrorKind>>,
        wakes: &mut Wakes,
    ) -> Option<Incoming> {
        let mut state = self.shared.state();
        let mut left = BATCH;
        while left > 0
            && let Some(first) = rest.front()
        {
            // Those of one type, which are often all of them, go the same way.
            let alike = rest.iter().take(left).take_while(|other| other.goes_with(first)).count();
            left -= alike;
            let route = state.route(&first.message.exchange, first.message.key());
            if route.is_empty() {
                answers.extend(rest.drain(..alike).map(|incoming| Err(no_route(&incoming.message))));
                continue;
            }
            let count = state.take_places(&route, alike);
            state.put_all(&route, &rest.iter().take(count).map(|incoming| &incoming.message), wakes);
            answers.extend(rest.drain(..count).map(|incoming| Ok(incoming.receipt())));
            if count < alike {
                return rest.pop_front();
            }
        }
        None
    }

    fn wake(&self, wakes: &mut Wakes) {
        wakes.consumers();
        if std::mem::take(&mut wakes.sooner) {
            self.shared.sooner.notify_one();
        }
    }

    /// Waits for room in each queue that has none.
    async fn put_later(&self, incoming: Incoming, deadline: Instant) -> Result<Receipt, PublishErrorKind> {
        let (route, open) = {
            let mut state = self.shared.state();
            let route = state.route(&incoming.message.exchange, incoming.message.key());
            let open = state.places(&route);
            (route, open)
        };
        let mut places = Places::with_capacity(open.len());
        for places_of in open {
            let Some(places_of) = places_of else {
                places.push(None);
                continue;
            };
            // ORDER: by name, as every publisher does, so that two never wait for each other; and in turn.
            let place = tokio::select! {
                biased;
                place = timeout_at(deadline, places_of.acquire_owned()) => place,
                () = self.shared.closed.cancelled() => return Err(PublishErrorKind::Closed),
            };
            match place {
                // Closed: the queue went away meanwhile; `put` leaves it out.
                Ok(place) => places.push(place.ok()),
                Err(_) => return Err(PublishErrorKind::Full),
            }
        }
        if self.is_closed() {
            return Err(PublishErrorKind::Closed);
        }
        let mut wakes = Wakes::default();
        let put = self.shared.state().put(&route, places, &incoming.message, &mut wakes);
        self.wake(&mut wakes);
        // Or all of them went away while we waited.
        if put { Ok(incoming.receipt()) } else { Err(no_route(&incoming.message)) }
    }
}

// === impl Incoming ===

impl From<Message> for Incoming {
    fn from(mut message: Message) -> Self {
        let told = message.lineage.is_some();
        let lineage = message.lineage.get_or_insert_with(Lineage::new).clone();
        Self { message: Arc::new(message), fresh: (!told).then_some(lineage) }
    }
}

impl Incoming {
    fn goes_with(&self, other: &Self) -> bool {
        let (own, other) = (&*self.message, &*other.message);
        let same_exchange = Arc::ptr_eq(&own.exchange, &other.exchange) || own.exchange == other.exchange;
        same_exchange && own.key() == other.key()
    }

    /// What is moved has its receipt with whoever published it.
    fn receipt(self) -> Receipt {
        self.fresh.map_or_else(Receipt::kept_by_broker, Receipt::until_settled)
    }
}

fn no_route(message: &Message) -> PublishErrorKind {
    PublishErrorKind::Returned { code: 312, text: "NO_ROUTE".to_owned(), key: message.key().to_owned() }
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
