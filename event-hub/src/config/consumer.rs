//! How a consumer takes from its queue, and what it does with what fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::handler::{Action, ErrorTable, Received};

/// How a consumer takes from its queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// The handler's name, for dead letters, spans, metrics and the broker's consumer tag. Default: the queue's.
    pub name: Option<String>,
    /// How many deliveries may be out and not acknowledged; not less than `concurrency`.
    /// A broker gets acknowledgements together: for a tenth of it, or for what has waited for 20 ms (100 ms, behind one
    /// that is still handled).
    /// Default 100: fewer starve a quorum queue.
    pub prefetch: u16,
    /// How many handlers may run at once; 1 keeps the queue's order until something fails. Default 8.
    pub concurrency: usize,
    /// Whether events of one key wait for each other. Default: none does.
    pub order: Option<Order>,
    /// What happens to failures.
    pub retry: RetryPolicy,
    /// Which error means which outcome. Default: what is undecodable is rejected, all else tried again.
    pub errors: ErrorTable,
    /// When to stop trying for a while. Default: after 20 failures in a row. None tries on, whatever happens.
    pub breaker: Option<Breaker>,
    /// How long a handler may take before it counts as failed. Default 60 s. The broker loses its patience after 30 min
    /// (its `consumer_timeout`) and closes the channel: stay far below that, pauses and retries in place included.
    pub handler_timeout: Duration,
    /// How long running handlers get at shutdown before their events are given back. Default 10 s.
    pub drain_timeout: Duration,
    /// Whether what came back too often without an answer is given up. Not where handlers wait for one thing alone,
    /// as the mirror does for Redis: there it is the broker's patience that brings it back.
    pub(crate) gives_up_poison: bool,
}

/// How failures are tried again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often an event is tried in all before it becomes a dead letter.
    ///
    /// The default, 8, spans about two minutes. At most 19 count. Only a handler's answers count here. What its queue
    /// took back without one (a crash, a lost connection; before RabbitMQ 4.3 a drain too) has a bound of its own:
    /// after 19 of these it becomes a dead letter, `redelivered`, before the queue's own limit of 20 does that without
    /// a word.
    pub max_attempts: u32,
    /// The bound of the first delay; each is drawn between half its bound and its bound. Default 500 ms.
    pub first_delay: Duration,
    /// The bound that the delays double up to. Default 1 min.
    pub max_delay: Duration,
    /// Where an event waits for its next try. Default: in the delay queues, which hold nobody up.
    pub place: RetryPlace,
}

/// Where a failed event waits for its next try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RetryPlace {
    /// In the delay queues: others pass it, and it comes back behind them. Feeds have none, and retry here.
    Delayed,
    /// In its place in the window, one of the consumer's concurrent handlers waiting with it.
    Here {
        /// How long it may be tried in all, waits included; at most 15 min, half the broker's patience.
        max_time: Duration,
    },
}

/// Events of one key one after the other, events of different keys at once.
///
/// It excludes delayed retries, which let later events pass: choose [`RetryPolicy::in_place`], anything else
/// is refused. For the same reason [`Outcome::Return`](crate::Outcome::Return) is a retry here. A key that is
/// being retried holds one of the `concurrency` places.
///
/// The order is that of one queue and one consumer. With several processes on a queue let only one be active
/// ([`Queue::with_single_active_consumer`](crate::topology::Queue::with_single_active_consumer)). What a lost
/// connection brings again comes after what is still running here, so that an event can be repeated and not
/// overtaken; in another process only the inbox protects from a repeat beside the first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Order {
    /// What belongs together. Default: the event's `partition_key`.
    pub key: OrderKey,
    /// What happens when an event has failed for good. Default: it becomes a dead letter, and its key goes on.
    pub exhausted: Exhausted,
}

/// The key that keeps events in order.
#[derive(Clone, Default)]
pub struct OrderKey(Option<Arc<KeyOf>>);

type KeyOf = dyn Fn(&mut Received) -> Option<String> + Send + Sync;

/// What an ordered consumer does when an event has failed for good.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Exhausted {
    /// The event becomes a dead letter; the next of its key is handled.
    #[default]
    DeadLetter,
    /// The event stays first in its queue and the consumer ends, other keys included.
    ///
    /// [`Hub::consume`](crate::Hub::consume) returns [`ErrorKind::Halted`], and the hub's health is not ready
    /// until the queue is consumed again. Whether the process goes on is its own choice.
    Stop,
}

/// When a consumer stops trying for a while.
///
/// A consumer whose every event fails has no bad events but a missing database. It then pauses: what it holds
/// it keeps, the rest stays in the queue. After the pause one event is tried; if that fails too, the pause
/// doubles. No attempt is counted meanwhile, and nothing becomes a dead letter for having failed.
///
/// Rejections count neither way: they are about the event. What is held longer than ten minutes goes once
/// round through the delay queues, before the broker loses its patience. Consumers that keep order, or retry in
/// place, have no other place for it: there the broker takes it back each half hour (its `consumer_timeout`), which
/// after 19 times, more than nine hours, makes it a dead letter.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Breaker {
    /// What makes it pause.
    pub trip: Trip,
    /// The bound of the first pause; each is drawn between half its bound and its bound. Default 1 s.
    pub first_pause: Duration,
    /// The bound that the pauses double up to. Default 30 s: one try more or less is no load for what is ill,
    /// and what is well again is soon found so.
    pub max_pause: Duration,
}

/// What makes a consumer pause.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Trip {
    /// This many failed tries in a row, of whichever events.
    ///
    /// The default, 20, is more than two bad events bring together with 8 attempts each, and more than the
    /// handlers that run at once.
    Consecutive(u32),
    /// This share of the last `of` tries.
    Share {
        /// How many of them failed, between 0 and 1.
        failed: f64,
        /// How many are looked at.
        of: u32,
    },
}

// === impl ConsumerConfig ===

impl ConsumerConfig {
    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Config, why));
        let (prefetch, concurrency) = (self.prefetch, self.concurrency);
        if concurrency == 0 || usize::from(prefetch) < concurrency {
            return refuse(format!(
                "prefetch {prefetch} and concurrency {concurrency}: at least one handler, and as many deliveries"
            ));
        }
        if let RetryPlace::Here { max_time } = self.retry.place
            && max_time > LONGEST_HERE
        {
            return refuse(format!("retries in place for {max_time:?}, {LONGEST_HERE:?} is the most"));
        }
        if self.order.is_some() && self.retry.place == RetryPlace::Delayed {
            return refuse(
                "order and delayed retry exclude each other, see `RetryPolicy::in_place`".to_owned(),
            );
        }
        let Some(breaker) = &self.breaker else {
            if self.errors.uses(Action::Pause) {
                return refuse("an error pauses the consumer, which has no breaker".to_owned());
            }
            return Ok(());
        };
        if breaker.first_pause.is_zero() || breaker.max_pause.is_zero() {
            return refuse("a breaker whose pause is 0 s".to_owned());
        }
        match breaker.trip {
            Trip::Consecutive(0) | Trip::Share { of: 0, .. } => {
                refuse("a breaker that trips after nothing".to_owned())
            }
            Trip::Share { failed, .. } if !(failed > 0.0 && failed <= 1.0) => {
                refuse(format!("a breaker that trips at a share of {failed}"))
            }
            Trip::Consecutive(_) | Trip::Share { .. } => Ok(()),
        }
    }
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            name: None,
            prefetch: 100,
            concurrency: 8,
            order: None,
            retry: RetryPolicy::default(),
            errors: ErrorTable::default(),
            breaker: Some(Breaker::default()),
            handler_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            gives_up_poison: true,
        }
    }
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Retries in place, as order needs them: the same delays, for two minutes at most.
    #[must_use]
    pub fn in_place() -> Self {
        Self { place: RetryPlace::Here { max_time: Duration::from_mins(2) }, ..Self::default() }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_mins(1),
            place: RetryPlace::Delayed,
        }
    }
}

// === impl Order ===

impl Order {
    /// Keeps the events of one partition key in order. Events without one have none.
    #[must_use]
    pub fn by_partition_key() -> Self {
        Self::default()
    }

    /// Keeps the deliveries in order for which a function gives the same key. None: it has no order.
    #[must_use]
    pub fn by(key: impl Fn(&mut Received) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { key: OrderKey(Some(Arc::new(key))), ..Self::default() }
    }
}

// === impl OrderKey ===

impl OrderKey {
    pub(crate) fn of(&self, received: &mut Received) -> Option<String> {
        match &self.0 {
            Some(key) => key(received),
            // What is no event has no order, and its handler's lane says so.
            None => received.event().ok()?.partition_key.clone(),
        }
    }
}

impl fmt::Debug for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a function" } else { "partition key" })
    }
}

// === impl Breaker ===

impl Default for Breaker {
    fn default() -> Self {
        Self {
            trip: Trip::Consecutive(20),
            first_pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(30),
        }
    }
}

/// A broker takes back what is not answered for 30 min, and closes the channel.
const LONGEST_HERE: Duration = Duration::from_mins(15);
