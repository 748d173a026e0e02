//! The handle that users hold.

mod consumers;
mod running;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::Instrument as _;

use crate::config::{ConsumerConfig, HubConfig, MemoryConfig};
use crate::consumer::{Failures, Handled, Served};
use crate::driver::{Backend, Source};
use crate::envelope::Event;
use crate::error::Error;
#[allow(unused_imports, reason = "the docs below name its kinds")]
use crate::error::ErrorKind;
use crate::feed::{Feed, Place};
use crate::handler::{BoxError, Handler, Outcome, Received};
use crate::health::{HubHealth, QueueStats};
use crate::hub::consumers::Consumers;
use crate::memory::Broker;
use crate::message::{Message, Text};
use crate::publish::{PublishError, PublishErrorKind, Receipt};
use crate::telemetry::{self, PublishMetrics, PublishSpans};
use crate::topology::{Declared, Difference, Topology};

/// A cheap handle to a hub. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Backend,
    config: HubConfig,
    /// The configured one.
    exchange: Text,
    metrics: PublishMetrics,
    spans: PublishSpans,
    /// Everything declared so far.
    topology: Mutex<Topology>,
    consumers: Consumers,
    closed: CancellationToken,
}

impl Hub {
    /// A hub inside this process. Call it inside a tokio runtime.
    #[must_use]
    pub fn memory(config: MemoryConfig) -> Self {
        let broker = Broker::new(&config);
        Self::new(Backend::Memory(broker), config.hub)
    }

    /// A hub on RabbitMQ, `amqp://` or `amqps://`. It connects in the background, again and again.
    /// Call it inside a tokio runtime.
    ///
    /// `url` may be several, with commas between them, for the nodes of one cluster: they are tried in random order,
    /// each with its own user, virtual host and options.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the URL cannot be read, the upcasts are not whole, or a back-off is zero; nothing else.
    #[cfg(feature = "amqp")]
    pub fn amqp(url: &str, config: crate::config::AmqpConfig) -> Result<Self, Error> {
        let hub = config.hub.clone();
        hub.upcasts.check()?;
        let client = crate::amqp::Client::new(url, config)?;
        Ok(Self::new(Backend::Amqp(client), hub))
    }

    /// Makes what is missing, and again after each reconnect. Waits for the connection, without end.
    ///
    /// What exists with other settings is left alone and listed in [`Declared::conflicts`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the hub is shut down; [`ErrorKind::Config`] when a name is too long, or a queue's has
    /// `*` or `#` as a word.
    ///
    /// # Cancel safety
    ///
    /// The topology is remembered, and made at the next connection at the latest.
    pub async fn declare(&self, topology: &Topology) -> Result<Declared, Error> {
        topology.check()?;
        let whole = {
            let mut known = self.topology();
            *known = std::mem::take(&mut *known).merge(topology.clone());
            // The way back from the delays leads into every queue that is known by now.
            let whole = known.clone().with_delays();
            // ORDER: under the lock, so that of two callers the one with more has the last word.
            self.0.backend.remember(&whole);
            whole
        };
        self.0.backend.declare(&whole, topology).await
    }

    /// Takes a topology for being there, and makes nothing: for tools that must not change a broker.
    pub fn assume(&self, topology: &Topology) {
        let mut known = self.topology();
        *known = std::mem::take(&mut *known).merge(topology.clone());
    }

    /// How what is there differs from `topology`, its delays included: in the memory hub, or at the broker.
    ///
    /// With a management URL everything is seen. Without one AMQP can tell no more than whether an exchange or a
    /// queue is there; [`Difference::unseen`] says what nobody could see.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Broker`] or [`ErrorKind::Timeout`] when the broker, or its management, cannot be asked;
    /// [`ErrorKind::Closed`] when the hub is shut down.
    pub async fn compare(&self, topology: &Topology) -> Result<Difference, Error> {
        topology.check()?;
        self.0.backend.compare(&topology.clone().with_delays()).await
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
        let span = self.0.spans.one(event);
        let send = async {
            let message = match &self.0.backend {
                // It is not left: written out only if someone wants to see bytes.
                Backend::Memory(_) => Message::passing(Arc::new(event.clone()), &self.0.exchange),
                #[cfg(feature = "amqp")]
                Backend::Amqp(_) => Message::of(event, &self.0.exchange),
            };
            let mut answers = self.send(vec![message]).await;
            answers.pop().unwrap_or(Err(PublishErrorKind::Closed))
        };
        let answer = send.instrument(span.clone()).await;
        match &answer {
            Ok(_) => self.record(event),
            Err(kind) => telemetry::failed(&span, kind),
        }
        answer.map_err(|kind| PublishError::new(kind, event.clone()))
    }

    /// Sends many events with their confirms awaited together. Events of one partition key keep their order, and so do
    /// those without a key. The answers stand in the order of the events.
    ///
    /// # Cancel safety
    ///
    /// When dropped each event may or may not be sent.
    pub async fn publish_all(&self, events: Vec<Event>) -> Vec<Result<Receipt, PublishError>> {
        let span = self.0.spans.many(&events);
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        // The same name anew for each call: the count of references to one for all would go from core to core with
        // each event.
        let exchange = Text::from(&*self.0.exchange);
        let message = |event: &Arc<Event>| match &self.0.backend {
            Backend::Memory(_) => Message::passing(Arc::clone(event), &exchange),
            #[cfg(feature = "amqp")]
            Backend::Amqp(_) => Message::of(event, &exchange),
        };
        let messages = events.iter().map(message).collect();
        let answers = self.send(messages).instrument(span.clone()).await;
        if let Some(kind) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            telemetry::failed(&span, kind);
        }
        let give_back = |(event, answer): (Arc<Event>, Result<_, _>)| {
            if answer.is_ok() {
                self.record(&event);
            }
            answer.map_err(|kind| PublishError::new(kind, Arc::unwrap_or_clone(event)))
        };
        events.into_iter().zip(answers).map(give_back).collect()
    }

    /// Runs a handler, see [`handler`](crate::handler), over a queue until `shutdown` completes and the consumer is drained: no new events,
    /// running handlers finished (or given back at the deadline), acknowledgements sent, the rest given back.
    ///
    /// A lost connection, a cancel by the broker and a deleted queue are recovered from, without end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownQueue`] when no topology declared on this hub has the queue;
    /// [`ErrorKind::Config`] when the hub's upcasts are not whole;
    /// [`ErrorKind::Closed`] when the hub is shut down first.
    ///
    /// # Cancel safety
    ///
    /// When dropped, running handlers are aborted and their events delivered again.
    pub async fn consume<M: 'static>(
        &self,
        queue: &str,
        config: ConsumerConfig,
        handler: impl Handler<M>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        self.consume_queue(queue, config, Handled::new(handler), shutdown).await
    }

    /// As [`Hub::consume`], for a `tower` service: a handler within layers, see [`Handler::into_service`].
    ///
    /// Each delivery gets a clone of its own, which is called once it is ready; until then the delivery waits
    /// in its place, and the rest in the queue. An error of a layer is judged by the consumer's
    /// [`ErrorTable`](crate::handler::ErrorTable), like a handler's.
    ///
    /// # Errors
    ///
    /// As [`Hub::consume`].
    ///
    /// # Cancel safety
    ///
    /// As [`Hub::consume`].
    pub async fn consume_service<S>(
        &self,
        queue: &str,
        config: ConsumerConfig,
        service: S,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error>
    where
        S: Service<Received, Response = Outcome, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        self.consume_queue(queue, config, Served::new(service), shutdown).await
    }

    /// Runs a handler over a feed of this process's own, made at the start and again when it is gone.
    ///
    /// `place` is told at each opening whether the queue was kept or made, before the events that follow, and
    /// whenever it is found full.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the hub is shut down first; [`ErrorKind::Config`] when a name or a key is empty or
    /// too long.
    ///
    /// # Panics
    ///
    /// When `place` does.
    ///
    /// # Cancel safety
    ///
    /// As [`Hub::consume`].
    pub async fn consume_feed<M: 'static>(
        &self,
        feed: Feed,
        config: ConsumerConfig,
        handler: impl Handler<M>,
        place: impl Fn(Place) + Send + Sync + 'static,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let opened: Arc<Mutex<Option<Place>>> = Arc::default();
        let place: Arc<dyn Fn(Place) + Send + Sync> = Arc::new(place);
        let tell: Arc<dyn Fn(Place) + Send + Sync> = {
            let (opened, place) = (Arc::clone(&opened), Arc::clone(&place));
            Arc::new(move |at: Place| {
                *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(at.clone());
                place(at);
            })
        };
        let exchange = feed.exchange.clone().unwrap_or_else(|| self.0.config.exchange.clone());
        feed.check(&exchange)?;
        let watch = self.watch(feed.clone(), opened, place);
        let source = Source::Feed { feed, exchange, place: tell };
        let run = self.run(source, config, Handled::new(handler), Failures::Stay, shutdown);
        tokio::select! {
            result = run => result,
            never = watch => match never {},
        }
    }

    /// How the hub is.
    #[must_use]
    pub fn health(&self) -> HubHealth {
        let (connected, blocked) = self.0.backend.connection();
        let consumers = self.0.consumers.health();
        HubHealth { connected, trouble: self.0.backend.trouble(), blocked, consumers }
    }

    /// Asks for a queue: none when it does not exist.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Broker`] or [`ErrorKind::Timeout`] when the broker cannot be asked.
    pub async fn queue(&self, name: &str) -> Result<Option<QueueStats>, Error> {
        self.0.backend.stats(name).await
    }

    /// What is known here and now of each queue: all of the memory hub's, and none of a broker's.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueStats> {
        self.0.backend.all_stats()
    }

    /// Refuses new publishes, waits for the confirms of those under way, and closes the connections.
    ///
    /// End the consumers first: their own publishes need the hub.
    pub async fn shutdown(&self) {
        self.0.closed.cancel();
        self.0.backend.shutdown().await;
    }

    fn new(backend: Backend, config: HubConfig) -> Self {
        let system = backend.system();
        Self(Arc::new(Inner {
            metrics: PublishMetrics::new(system, &config.exchange),
            spans: PublishSpans::new(system, &config.exchange, config.join_trace.clone()),
            backend,
            exchange: config.exchange.as_str().into(),
            config,
            topology: Mutex::default(),
            consumers: Consumers::default(),
            closed: CancellationToken::new(),
        }))
    }

    async fn send(&self, messages: Vec<Message>) -> Vec<Result<Receipt, PublishErrorKind>> {
        let count = messages.len();
        if self.0.closed.is_cancelled() {
            self.0.metrics.refuse(count);
            return std::iter::repeat_with(|| Err(PublishErrorKind::Closed)).take(count).collect();
        }
        let exchange = &self.0.config.exchange;
        if !self.topology().exchanges.iter().any(|known| known.name == *exchange) {
            self.0.metrics.refuse(count);
            // A publish to an exchange that is not there would take the whole channel down, with what is on it.
            let returned = |message: Message| PublishErrorKind::Returned {
                code: 404,
                text: format!("exchange {exchange} was not declared"),
                key: message.key().to_owned(),
            };
            return messages.into_iter().map(|message| Err(returned(message))).collect();
        }
        let started = Instant::now();
        #[allow(clippy::cast_precision_loss, reason = "a gauge of some thousands")]
        let size = count as f64;
        self.0.metrics.in_flight.increment(size);
        let gauge = self.0.metrics.in_flight.clone();
        let _in_flight = scopeguard(move || gauge.decrement(size));
        let answers = self.send_fit(messages, started + self.0.config.publish_timeout).await;
        self.0.metrics.count(&answers, started.elapsed());
        answers
    }

    /// Sends what can be sent; the answers stand in the order of all.
    async fn send_fit(
        &self,
        messages: Vec<Message>,
        deadline: Instant,
    ) -> Vec<Result<Receipt, PublishErrorKind>> {
        let max_body = self.0.config.max_body;
        if messages.iter().all(|message| message.unfit(max_body).is_none()) {
            return self.0.backend.publish(messages, deadline).await;
        }
        let unfit: Vec<_> = messages.iter().map(|message| message.unfit(max_body)).collect();
        let fit = messages.into_iter().zip(&unfit).filter(|(_, unfit)| unfit.is_none()).map(|(fit, _)| fit);
        let mut answers = self.0.backend.publish(fit.collect(), deadline).await.into_iter();
        let answer = |unfit: Option<PublishErrorKind>| match unfit {
            Some(kind) => Err(kind),
            None => answers.next().unwrap_or(Err(PublishErrorKind::Closed)),
        };
        unfit.into_iter().map(answer).collect()
    }

    /// Sends messages as they are, each to the exchange it names, which must be the default one.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) async fn send_copies(&self, messages: Vec<Message>) -> Vec<Result<Receipt, PublishErrorKind>> {
        let deadline = Instant::now() + self.0.config.publish_timeout;
        self.0.backend.publish(messages, deadline).await
    }

    /// As [`Hub::send_copies`], one.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) async fn send_copy(&self, message: Message) -> Result<Receipt, PublishErrorKind> {
        self.0.backend.publish_one(message, Instant::now() + self.0.config.publish_timeout).await
    }

    /// A subscription of its own, seen in the hub's health.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn subscribe(
        &self,
        subscribe: crate::driver::Subscribe,
    ) -> (crate::driver::Subscription, consumers::Entry) {
        let queue = subscribe.source.name().to_owned();
        let subscription = self.0.backend.subscribe(subscribe);
        let entry = self.0.consumers.enter(&queue, &subscription.state, None);
        (subscription, entry)
    }

    /// Whether the broker gives up on what it has delivered too often from this queue, as far as is declared.
    #[cfg(feature = "redis")]
    pub(crate) fn has_delivery_limit(&self, queue: &str) -> bool {
        let resolved = self.topology().resolved();
        resolved.find_queue(queue).is_some_and(|queue| queue.delivery_limit.is_some())
    }

    #[cfg(any(feature = "postgres", feature = "sqlite", feature = "redis"))]
    pub(crate) fn closed(&self) -> CancellationToken {
        self.0.closed.clone()
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn config(&self) -> &HubConfig {
        &self.0.config
    }

    /// Tells a test's harness, where there is one.
    fn record(&self, event: &Event) {
        #[cfg(feature = "test-support")]
        if let Some(record) = &self.0.config.record {
            record.publish(event);
        }
        #[cfg(not(feature = "test-support"))]
        let _ = (self, event);
    }

    /// Sends anything, for checks of what must not be sent.
    #[cfg(feature = "test-support")]
    pub(crate) async fn send_raw(&self, message: Message) -> Result<Receipt, PublishErrorKind> {
        self.0.backend.publish_one(message, Instant::now() + self.0.config.publish_timeout).await
    }

    fn topology(&self) -> MutexGuard<'_, Topology> {
        self.0.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a closure on every way out.
fn scopeguard(end: impl FnOnce()) -> impl Drop {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            if let Some(end) = self.0.take() {
                end();
            }
        }
    }
    Guard(Some(end))
}
