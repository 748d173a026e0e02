//! The handle that users hold.

use std::future::Future;

use crate::config::{ConsumerConfig, MemoryConfig};
use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::feed::{Feed, Place};
use crate::handler::{Handler, RawHandler};
use crate::health::{HubHealth, QueueStats};
use crate::publish::{PublishError, PublishErrorKind, Receipt};
use crate::topology::{Declared, Topology};

/// A cheap handle to a hub. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Hub {}

impl Hub {
    /// A hub inside this process. Call it inside a tokio runtime.
    #[must_use]
    pub fn memory(_config: MemoryConfig) -> Self {
        Self {}
    }

    /// A hub on RabbitMQ, `amqp://` or `amqps://`. It connects in the background, again and again.
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the URL cannot be read; nothing else.
    #[cfg(feature = "amqp")]
    pub fn amqp(_url: &str, _config: crate::config::AmqpConfig) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// Makes what is missing, and again after each reconnect. Waits for the connection, without end.
    ///
    /// What exists with other settings is left alone and listed in [`Declared::conflicts`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the hub is shut down.
    ///
    /// # Cancel safety
    ///
    /// The topology is remembered, and made at the next connection at the latest.
    pub async fn declare(&self, _topology: &Topology) -> Result<Declared, Error> {
        Err(Error::new(ErrorKind::Closed, ""))
    }

    /// Sends an event to the hub's exchange, persistent and mandatory, and waits for the confirm.
    ///
    /// # Errors
    ///
    /// See [`PublishErrorKind`]. The event comes back with the error.
    ///
    /// # Cancel safety
    ///
    /// When dropped the event may or may not be sent.
    pub async fn publish(&self, event: &Event) -> Result<Receipt, PublishError> {
        Err(PublishError::new(PublishErrorKind::Closed, event.clone()))
    }

    /// Sends many events, in order, with their confirms awaited together. The answers are in the same order.
    ///
    /// # Cancel safety
    ///
    /// When dropped each event may or may not be sent.
    pub async fn publish_all(&self, events: Vec<Event>) -> Vec<Result<Receipt, PublishError>> {
        events.into_iter().map(|event| Err(PublishError::new(PublishErrorKind::Closed, event))).collect()
    }

    /// Runs a handler over a queue until `shutdown` completes and the consumer is drained: no new events,
    /// running handlers finished (or given back at the deadline), acknowledgements sent, the rest given back.
    ///
    /// A lost connection, a cancel by the broker and a deleted queue are recovered from, without end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownQueue`] when no topology declared on this hub has the queue;
    /// [`ErrorKind::Closed`] when the hub is shut down first.
    ///
    /// # Cancel safety
    ///
    /// When dropped, running handlers are aborted and their events delivered again.
    pub async fn consume(
        &self,
        _queue: &str,
        _config: ConsumerConfig,
        _handler: impl Handler,
        _shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Closed, ""))
    }

    /// As [`Hub::consume`], for deliveries that need not be events: nothing is rejected as undecodable.
    ///
    /// # Errors
    ///
    /// As [`Hub::consume`].
    ///
    /// # Cancel safety
    ///
    /// As [`Hub::consume`].
    pub async fn consume_raw(
        &self,
        _queue: &str,
        _config: ConsumerConfig,
        _handler: impl RawHandler,
        _shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Closed, ""))
    }

    /// Runs a handler over a feed of this process's own, made at the start and again when it is gone.
    ///
    /// `place` is told at each opening whether the queue was kept or made, before the events that follow, and
    /// whenever it is found full.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the hub is shut down first.
    ///
    /// # Cancel safety
    ///
    /// As [`Hub::consume`].
    pub async fn consume_feed(
        &self,
        _feed: Feed,
        _config: ConsumerConfig,
        _handler: impl Handler,
        _place: impl Fn(Place) + Send + Sync + 'static,
        _shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Closed, ""))
    }

    /// How the hub is.
    #[must_use]
    pub fn health(&self) -> HubHealth {
        HubHealth::default()
    }

    /// Asks for a queue: none when it does not exist.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Broker`] or [`ErrorKind::Timeout`] when the broker cannot be asked.
    pub async fn queue(&self, _name: &str) -> Result<Option<QueueStats>, Error> {
        Ok(None)
    }

    /// What is known here and now of each queue: all of the memory hub's, and none of a broker's.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueStats> {
        Vec::new()
    }

    /// Refuses new publishes, waits for the confirms of those under way, and closes the connections.
    ///
    /// End the consumers first: their own publishes need the hub.
    pub async fn shutdown(&self) {}
}
