//! RabbitMQ through lapin: two connections, one task per publishing channel, one per subscription.
//!
//! lapin's own recovery stays off: it loses server-side state that we know better (topology, prefetch, feeds).

mod acks;
mod address;
mod connection;
mod declare;
mod failure;
mod passive;
#[cfg(feature = "management")]
mod policed;
mod properties;
mod publisher;
mod subscriber;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::amqp::address::Address;
use crate::amqp::connection::Link;
use crate::amqp::publisher::Request;
use crate::config::AmqpConfig;
use crate::driver::{Subscribe, Subscription};
use crate::error::{Error, ErrorKind};
use crate::health::QueueStats;
use crate::message::Message;
use crate::publish::{PublishErrorKind, Receipt};
use crate::topology::{Declared, Difference, Topology};

/// A handle to the connections. They end with the last handle, or at [`Client::shutdown`].
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    setup: Arc<Setup>,
    /// Publishing, declaring and asking.
    publishing: Link,
    /// Consuming: on its own, since a blocked publisher must not hold the acknowledgements. Opened at need.
    consuming: OnceLock<Link>,
    /// Halves of the publishers' queues; as long as a window, so that a full window makes callers wait.
    lanes: Vec<mpsc::Sender<Request>>,
    /// For what the hub itself moves: a target that is not there closes the channel, and must not take events
    /// with it.
    moves: mpsc::Sender<Request>,
    /// Whoever shuts down holds it until all have ended, so that of two at once neither cuts them short.
    publishers: tokio::sync::Mutex<JoinSet<()>>,
    /// No new requests; the publishers end when the last is answered.
    draining: CancellationToken,
}

/// What every connection needs to be opened.
#[derive(Debug)]
struct Setup {
    /// At least one.
    addresses: Vec<Address>,
    config: AmqpConfig,
    #[cfg(feature = "management")]
    management: Option<crate::management::Management>,
    /// Made again at each connection.
    topology: Mutex<Topology>,
    /// Queues that were made and that nobody has been told of yet.
    made: Mutex<BTreeSet<String>>,
    /// One at a time: two that make the same quorum queue at once get in each other's way.
    declaring: tokio::sync::Mutex<()>,
    closed: CancellationToken,
}

/// How long questions and farewells may take.
const PATIENCE: Duration = Duration::from_secs(5);

// === impl Client ===

impl Client {
    pub(crate) fn new(url: &str, config: AmqpConfig) -> Result<Self, Error> {
        let addresses = address::parse(url, config.heartbeat)?;
        if config.backoff_first.is_zero() || config.backoff_max.is_zero() {
            return Err(Error::new(ErrorKind::Config, "a back-off of 0 s would connect without a pause"));
        }
        #[cfg(feature = "management")]
        let management = match config.management.clone() {
            Some(url) => {
                // Shorter than a connection's own patience: with the management away it must still come about.
                let patience = PATIENCE.min(config.connect_timeout / 2);
                Some(crate::management::Management::new(url, config.root_certificates.as_deref(), patience)?)
            }
            None => None,
        };
        let window = config.hub.window.max(1);
        let setup = Arc::new(Setup {
            addresses,
            config,
            #[cfg(feature = "management")]
            management,
            topology: Mutex::default(),
            made: Mutex::default(),
            declaring: tokio::sync::Mutex::default(),
            closed: CancellationToken::new(),
        });
        let publishing = Link::open("publish", Arc::clone(&setup));
        let draining = CancellationToken::new();
        let mut publishers = JoinSet::new();
        let mut open = || {
            let (requests, queue) = mpsc::channel(window);
            publishers.spawn(publisher::run(
                queue,
                publishing.clone(),
                Arc::clone(&setup),
                window,
                draining.clone(),
            ));
            requests
        };
        let lanes = std::iter::repeat_with(&mut open).take(setup.config.publish_channels.max(1)).collect();
        let moves = open();
        Ok(Self(Arc::new(Inner {
            setup,
            publishing,
            consuming: OnceLock::new(),
            lanes,
            moves,
            publishers: tokio::sync::Mutex::new(publishers),
            draining,
        })))
    }

    /// What each new connection has to make.
    pub(crate) fn remember(&self, whole: &Topology) {
        self.0.setup.topology().clone_from(whole);
    }

    /// Makes what is remembered, and tells of what is new in `own`.
    pub(crate) async fn declare(&self, own: &Topology) -> Result<Declared, Error> {
        loop {
            let connection = self.0.publishing.connection().await?;
            let whole = self.0.setup.topology().clone();
            match declare::declare(&self.0.setup, &connection, &whole).await {
                Ok(mut declared) => {
                    declared.made = crate::topology::claim(&mut self.0.setup.made(), own);
                    return Ok(declared);
                }
                Err(error) => {
                    tracing::warn!(%error, "topology not declared: again");
                    self.0.publishing.lost(&connection).await;
                }
            }
        }
    }

    pub(crate) async fn publish(
        &self,
        messages: Vec<Message>,
        deadline: Instant,
    ) -> Vec<Result<Receipt, PublishErrorKind>> {
        let mut waiting = Vec::with_capacity(messages.len());
        let mut rest = messages.into_iter();
        while let Some(first) = rest.as_slice().first() {
            let lane = self.lane(first);
            // Those that go the same way wait for room together, and share their writes.
            let most = publisher::BATCH.min(lane.max_capacity());
            let others = rest.as_slice().iter().skip(1).take(most - 1);
            let run = 1 + others.take_while(|message| self.lane(message).same_channel(lane)).count();
            match timeout_at(deadline, lane.reserve_many(run)).await {
                Ok(Ok(room)) => {
                    // ORDER: room first, which ends first and then leaves the next message where it is.
                    for (place, message) in room.zip(rest.by_ref()) {
                        let (answer, answered) = oneshot::channel();
                        place.send(Request { message, deadline, answer });
                        waiting.push(Ok(answered));
                    }
                }
                Ok(Err(_)) => {
                    waiting.extend(rest.by_ref().take(run).map(|_| Err(PublishErrorKind::Closed)));
                }
                Err(_) => waiting.extend(rest.by_ref().take(run).map(|_| Err(self.late()))),
            }
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for answered in waiting {
            answers.push(match answered {
                Ok(answered) => match timeout_at(deadline, answered).await {
                    Ok(Ok(answer)) => answer.map(|()| Receipt::kept_by_broker()),
                    // Its time was over before it could be sent.
                    Ok(Err(_)) if deadline <= Instant::now() => Err(self.late()),
                    Ok(Err(_)) => Err(PublishErrorKind::Unknown),
                    Err(_) => Err(self.late()),
                },
                Err(kind) => Err(kind),
            });
        }
        answers
    }

    pub(crate) fn subscribe(&self, subscribe: Subscribe) -> Subscription {
        let link = self.0.consuming.get_or_init(|| Link::open("consume", Arc::clone(&self.0.setup)));
        subscriber::start(Arc::clone(&self.0.setup), link.clone(), subscribe)
    }

    pub(crate) async fn stats(&self, queue: &str) -> Result<Option<QueueStats>, Error> {
        let ask = async {
            let connection = self.0.publishing.connection().await?;
            let found =
                declare::find(&connection, queue).await.map_err(|error| failure::error(error, queue))?;
            Ok(found.map(|(messages, consumers)| QueueStats {
                name: queue.to_owned(),
                messages: messages.into(),
                consumers: consumers.into(),
                ..QueueStats::default()
            }))
        };
        timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, queue)))
    }

    /// How the broker differs from what is wanted.
    pub(crate) async fn compare(&self, wanted: &Topology) -> Result<Difference, Error> {
        #[cfg(feature = "management")]
        if let Some(management) = &self.0.setup.management {
            let found = management.read(&self.0.setup.addresses[0].0.vhost).await?;
            return Ok(found.imported.against(wanted));
        }
        let ask = async {
            let connection = self.0.publishing.connection().await?;
            passive::compare(&connection, wanted).await
        };
        let late = |_| Err(Error::new(ErrorKind::Timeout, "comparing the topology"));
        timeout(self.0.setup.config.connect_timeout, ask).await.unwrap_or_else(late)
    }

    /// Why there is no connection, as far as is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.publishing.trouble().or_else(|| self.0.consuming.get()?.trouble())
    }

    pub(crate) fn connection(&self) -> (bool, bool) {
        let publishing = self.0.publishing.state();
        let consuming = self.0.consuming.get().map_or((true, false), Link::state);
        (publishing.0 && consuming.0, publishing.1 || consuming.1)
    }

    pub(crate) async fn shutdown(&self) {
        self.0.draining.cancel();
        let ended = async {
            let mut publishers = self.0.publishers.lock().await;
            while publishers.join_next().await.is_some() {}
        };
        if timeout(self.0.setup.config.hub.publish_timeout, ended).await.is_err() {
            tracing::warn!("publishes were still unconfirmed at the shutdown");
        }
        self.0.setup.closed.cancel();
        self.0.publishing.ended().await;
        if let Some(consuming) = self.0.consuming.get() {
            consuming.ended().await;
        }
    }
}

impl Client {
    /// The way out: one for each partition key.
    fn lane(&self, message: &Message) -> &mpsc::Sender<Request> {
        if *message.exchange != *self.0.setup.config.hub.exchange {
            return &self.0.moves;
        }
        let lanes = &self.0.lanes;
        #[allow(clippy::cast_possible_truncation, reason = "any part of a hash is one")]
        lanes.get(message.properties().lane as usize % lanes.len()).unwrap_or(&self.0.moves)
    }

    /// Why there was no answer in time.
    fn late(&self) -> PublishErrorKind {
        if self.0.publishing.state().1 { PublishErrorKind::Blocked } else { PublishErrorKind::Timeout }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.draining.cancel();
        self.setup.closed.cancel();
    }
}

// === impl Setup ===

impl Setup {
    fn topology(&self) -> std::sync::MutexGuard<'_, Topology> {
        self.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
