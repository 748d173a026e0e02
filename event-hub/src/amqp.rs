//! RabbitMQ through lapin: two connections, one publisher task, one task per subscription.
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
use tokio::task::JoinHandle;
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
    /// Half of the publisher's queue; as long as its window, so that a full window makes callers wait.
    requests: mpsc::Sender<Request>,
    publisher: Mutex<Option<JoinHandle<()>>>,
    /// No new requests; the publisher ends when the last is answered.
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
        let (requests, queue) = mpsc::channel(window);
        let draining = CancellationToken::new();
        let publisher = tokio::spawn(publisher::run(queue, publishing.clone(), window, draining.clone()));
        Ok(Self(Arc::new(Inner {
            setup,
            publishing,
            consuming: OnceLock::new(),
            requests,
            publisher: Mutex::new(Some(publisher)),
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
        for message in messages {
            let (answer, answered) = oneshot::channel();
            let request = Request { message, deadline, answer };
            waiting.push(match timeout_at(deadline, self.0.requests.send(request)).await {
                Ok(Ok(())) => Ok(answered),
                Ok(Err(_)) => Err(PublishErrorKind::Closed),
                Err(_) => Err(PublishErrorKind::Timeout),
            });
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for answered in waiting {
            answers.push(match answered {
                Ok(answered) => match timeout_at(deadline, answered).await {
                    Ok(Ok(answer)) => answer.map(|()| Receipt::kept_by_broker()),
                    Ok(Err(_)) => Err(PublishErrorKind::Unknown),
                    Err(_) => Err(PublishErrorKind::Timeout),
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
        let publisher = self.0.publisher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(publisher) = publisher
            && timeout(self.0.setup.config.hub.publish_timeout, publisher).await.is_err()
        {
            tracing::warn!("publishes were still unconfirmed at the shutdown");
        }
        self.0.setup.closed.cancel();
        self.0.publishing.ended().await;
        if let Some(consuming) = self.0.consuming.get() {
            consuming.ended().await;
        }
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
