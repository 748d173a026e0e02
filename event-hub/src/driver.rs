//! What a hub needs of a broker, and the two that give it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::consumer::Moves;
use crate::error::Error;
use crate::feed::{Feed, Place};
use crate::handover::{Line, Settlements};
use crate::health::QueueStats;
use crate::memory::Broker;
use crate::message::{Delivery, Message, Token};
use crate::publish::{PublishErrorKind, Receipt};
use crate::topology::letters::Stranded;
use crate::topology::{Declared, Difference, Topology};

/// The broker behind a hub.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    #[cfg(feature = "amqp")]
    Amqp(crate::amqp::Client),
    Memory(Broker),
}

/// What to subscribe to.
#[derive(Clone)]
pub(crate) struct Subscribe {
    pub(crate) source: Source,
    pub(crate) prefetch: u16,
    /// Whether the queue has one active consumer at a time, so that leaving hands over.
    #[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "the embedded broker knows its queues"))]
    pub(crate) single_active: bool,
    #[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "a broker's lists show it"))]
    pub(crate) name: String,
}

/// Where deliveries come from.
#[derive(Clone)]
pub(crate) enum Source {
    Queue(String),
    Feed { feed: Feed, exchange: String, place: Arc<dyn Fn(Place) + Send + Sync> },
}

/// One running subscription; its owner task recovers it until `stop` or a closed end.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// At most `prefetch` wait here; it is closed when the owner ends.
    pub(crate) deliveries: Line<Delivery>,
    /// The owner ends when this is dropped: it sends what is settled and gives back the rest.
    pub(crate) settlements: Settlements,
    /// No more deliveries.
    pub(crate) stop: CancellationToken,
    pub(crate) state: Arc<SubscriptionState>,
    pub(crate) owner: JoinHandle<()>,
}

#[derive(Debug, Default)]
pub(crate) struct SubscriptionState {
    /// Whether the broker delivers.
    pub(crate) active: AtomicBool,
    /// Deliveries of another generation were given back by the broker itself.
    pub(crate) generation: AtomicU64,
    /// Why it could not be opened, the last time.
    trouble: Mutex<Option<String>>,
    /// What its consumer could not move.
    pub(crate) moves: Moves,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settlement {
    pub(crate) token: Token,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Ack,
    /// Back into the queue, counted as a failure.
    Fail,
    /// Back into the queue, nobody's fault.
    Return,
}

// === impl Backend ===

impl Backend {
    /// What each new connection has to make.
    #[cfg_attr(
        not(feature = "amqp"),
        allow(unused_variables, reason = "the embedded broker has no connections")
    )]
    pub(crate) fn remember(&self, whole: &Topology) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.remember(whole),
            Self::Memory(_) => {}
        }
    }

    /// Makes the whole, and tells the caller of its own part.
    pub(crate) async fn declare(&self, whole: &Topology, own: &Topology) -> Result<Declared, Error> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.declare(own).await,
            Self::Memory(broker) => {
                let mut declared = broker.declare(whole, own)?;
                let stranded = broker.topology().stranded(&whole.resolved());
                declared.conflicts.extend(stranded.into_iter().map(Stranded::conflict));
                Ok(declared)
            }
        }
    }

    /// Sends, in order, and waits for all the answers.
    pub(crate) async fn publish(
        &self,
        messages: Vec<Message>,
        deadline: Instant,
    ) -> Vec<Result<Receipt, PublishErrorKind>> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.publish(messages, deadline).await,
            Self::Memory(broker) => broker.publish(messages, deadline).await,
        }
    }

    pub(crate) async fn publish_one(
        &self,
        message: Message,
        deadline: Instant,
    ) -> Result<Receipt, PublishErrorKind> {
        let mut answers = self.publish(vec![message], deadline).await;
        answers.pop().unwrap_or(Err(PublishErrorKind::Closed))
    }

    pub(crate) fn subscribe(&self, subscribe: Subscribe) -> Subscription {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.subscribe(subscribe),
            Self::Memory(broker) => broker.subscribe(subscribe),
        }
    }

    pub(crate) async fn stats(&self, queue: &str) -> Result<Option<QueueStats>, Error> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.stats(queue).await,
            Self::Memory(broker) => Ok(broker.stats(queue)),
        }
    }

    pub(crate) async fn has_exchange(&self, name: &str) -> Result<bool, Error> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.has_exchange(name).await,
            Self::Memory(broker) => Ok(broker.topology().exchanges.iter().any(|known| known.name == name)),
        }
    }

    pub(crate) fn all_stats(&self) -> Vec<QueueStats> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(_) => Vec::new(),
            Self::Memory(broker) => broker.all_stats(),
        }
    }

    /// How what is there differs from what is wanted.
    pub(crate) async fn compare(&self, wanted: &Topology) -> Result<Difference, Error> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.compare(wanted).await,
            Self::Memory(broker) => Ok(wanted.compare(&broker.topology())),
        }
    }

    /// Why it is not connected, as far as is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.trouble(),
            Self::Memory(_) => None,
        }
    }

    /// Connected and blocked.
    pub(crate) fn connection(&self) -> (bool, bool) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.connection(),
            Self::Memory(broker) => (!broker.is_closed(), false),
        }
    }

    pub(crate) fn system(&self) -> &'static str {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(_) => "rabbitmq",
            Self::Memory(_) => "memory",
        }
    }

    pub(crate) async fn shutdown(&self) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(client) => client.shutdown().await,
            Self::Memory(broker) => broker.close(),
        }
    }
}

// === impl SubscriptionState ===

impl SubscriptionState {
    #[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "the embedded broker has no such trouble"))]
    pub(crate) fn trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(crate) fn last_trouble(&self) -> Option<String> {
        let opening = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        opening.or_else(|| self.moves.trouble())
    }
}

// === impl Source ===

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Source {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Queue(name) => name,
            Self::Feed { feed, .. } => &feed.name,
        }
    }
}
