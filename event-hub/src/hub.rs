//! The handle that users hold.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::config::{ConsumerConfig, HubConfig, MemoryConfig};
use crate::consumer::{self, Bodies, Consumer, Events, Failures, Process};
use crate::driver::{Backend, Source, Subscribe, SubscriptionState};
use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::feed::{Feed, Place};
use crate::handler::{Handler, RawHandler};
use crate::health::{ConsumerHealth, HubHealth, QueueStats};
use crate::memory::Broker;
use crate::message::Message;
use crate::metrics::{ConsumerMetrics, PublishMetrics};
use crate::publish::{PublishError, PublishErrorKind, Receipt};
use crate::topology::{Declared, Topology};
use crate::trace;

/// A cheap handle to a hub. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Backend,
    config: HubConfig,
    metrics: PublishMetrics,
    /// Everything declared so far.
    topology: Mutex<Topology>,
    /// The running consumers; each entry dies with its run.
    consumers: Mutex<Vec<(String, Weak<SubscriptionState>)>>,
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
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the URL cannot be read; nothing else.
    #[cfg(feature = "amqp")]
    pub fn amqp(url: &str, config: crate::config::AmqpConfig) -> Result<Self, Error> {
        let hub = config.hub.clone();
        let client = crate::amqp::Client::new(url, config)?;
        Ok(Self::new(Backend::Amqp(client), hub))
    }

    /// Makes what is missing, and again after each reconnect. Waits for the connection, without end.
    ///
    /// What exists with other settings is left alone and listed in [`Declared::conflicts`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the hub is shut down; [`ErrorKind::Config`] when a name is too long.
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
            known.clone().with_delays()
        };
        let mut declared = self.0.backend.declare(&whole).await?;
        declared.made.retain(|queue| topology.find_queue(queue).is_some());
        Ok(declared)
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
        let span = trace::publish(
            self.0.backend.system(),
            &self.0.config.exchange,
            event,
            self.0.config.join_trace.as_ref(),
        );
        let send = async {
            let mut answers = self.send(vec![Message::of(event, &self.0.config.exchange)]).await;
            answers.pop().unwrap_or(Err(PublishErrorKind::Closed))
        };
        let answer = send.instrument(span.clone()).await;
        if let Err(kind) = &answer {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", kind.name());
        }
        answer.map_err(|kind| PublishError::new(kind, event.clone()))
    }

    /// Sends many events, in order, with their confirms awaited together. The answers are in the same order.
    ///
    /// # Cancel safety
    ///
    /// When dropped each event may or may not be sent.
    pub async fn publish_all(&self, events: Vec<Event>) -> Vec<Result<Receipt, PublishError>> {
        let mut spans = Vec::with_capacity(events.len());
        let mut messages = Vec::with_capacity(events.len());
        for event in &events {
            let exchange = &self.0.config.exchange;
            spans.push(trace::publish(
                self.0.backend.system(),
                exchange,
                event,
                self.0.config.join_trace.as_ref(),
            ));
            messages.push(Message::of(event, exchange));
        }
        let answers = self.send(messages).await;
        let mut results = Vec::with_capacity(events.len());
        for ((event, span), answer) in events.into_iter().zip(spans).zip(answers) {
            results.push(answer.map_err(|kind| {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", kind.name());
                PublishError::new(kind, event)
            }));
        }
        results
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
        queue: &str,
        config: ConsumerConfig,
        handler: impl Handler,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        self.consume_queue(queue, config, Events(handler), shutdown).await
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
        queue: &str,
        config: ConsumerConfig,
        handler: impl RawHandler,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        self.consume_queue(queue, config, Bodies(handler), shutdown).await
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
        feed: Feed,
        config: ConsumerConfig,
        handler: impl Handler,
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
        let watch = self.watch(feed.clone(), opened, place);
        let source = Source::Feed { feed, exchange, place: tell };
        let run = self.run(source, config, Events(handler), Failures::Stay, shutdown);
        tokio::select! {
            result = run => result,
            never = watch => match never {},
        }
    }

    /// How the hub is.
    #[must_use]
    pub fn health(&self) -> HubHealth {
        let (connected, blocked) = self.0.backend.connection();
        let mut consumers = self.consumers();
        consumers.retain(|(_, state)| state.strong_count() > 0);
        let consumers = consumers
            .iter()
            .filter_map(|(queue, state)| {
                let active = state.upgrade()?.active.load(Ordering::Acquire);
                Some(ConsumerHealth { queue: queue.clone(), active })
            })
            .collect();
        HubHealth { connected, blocked, consumers }
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
        Self(Arc::new(Inner {
            backend,
            config,
            metrics: PublishMetrics::new(),
            topology: Mutex::default(),
            consumers: Mutex::default(),
            closed: CancellationToken::new(),
        }))
    }

    async fn send(&self, messages: Vec<Message>) -> Vec<Result<Receipt, PublishErrorKind>> {
        let count = messages.len();
        if self.0.closed.is_cancelled() {
            return std::iter::repeat_with(|| Err(PublishErrorKind::Closed)).take(count).collect();
        }
        let exchange = &self.0.config.exchange;
        if !self.topology().exchanges.iter().any(|known| known.name == *exchange) {
            // A publish to an exchange that is not there would take the whole channel down, with what is on it.
            let returned = |message: Message| PublishErrorKind::Returned {
                code: 404,
                text: format!("exchange {exchange} was not declared"),
                key: message.key,
            };
            return messages.into_iter().map(|message| Err(returned(message))).collect();
        }
        let started = Instant::now();
        #[allow(clippy::cast_precision_loss, reason = "a gauge of some thousands")]
        let size = count as f64;
        self.0.metrics.in_flight.increment(size);
        let gauge = self.0.metrics.in_flight.clone();
        let _in_flight = scopeguard(move || gauge.decrement(size));
        let answers = self.0.backend.publish(messages, started + self.0.config.publish_timeout).await;
        for answer in &answers {
            self.0.metrics.count(answer);
        }
        self.0.metrics.seconds.record(started.elapsed().as_secs_f64());
        answers
    }

    /// Sends anything, for checks of what must not be sent.
    #[cfg(feature = "test-support")]
    pub(crate) async fn send_raw(&self, message: Message) -> Result<Receipt, PublishErrorKind> {
        self.0.backend.publish_one(message, Instant::now() + self.0.config.publish_timeout).await
    }

    async fn consume_queue(
        &self,
        queue: &str,
        config: ConsumerConfig,
        process: impl Process,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let Some(declared) = self.topology().find_queue(queue).cloned() else {
            return Err(Error::new(ErrorKind::UnknownQueue, queue));
        };
        let failures = if declared.is_feed() { Failures::Stay } else { Failures::Move(declared.dead_letter) };
        self.run(Source::Queue(queue.to_owned()), config, process, failures, shutdown).await
    }

    async fn run(
        &self,
        source: Source,
        config: ConsumerConfig,
        process: impl Process,
        failures: Failures,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        if self.0.closed.is_cancelled() {
            return Err(Error::new(ErrorKind::Closed, ""));
        }
        let name = config.name.clone().unwrap_or_else(|| source.name().to_owned());
        let subscription = self.0.backend.subscribe(Subscribe {
            source: source.clone(),
            prefetch: config.prefetch.max(1),
            concurrency: config.concurrency,
            name: name.clone(),
        });
        self.consumers().push((source.name().to_owned(), Arc::downgrade(&subscription.state)));
        let consumer = Arc::new(Consumer {
            backend: self.0.backend.clone(),
            hub: self.0.config.clone(),
            metrics: ConsumerMetrics::new(&name),
            config,
            name,
            process,
            failures,
        });
        let mut closed = false;
        let stop = async {
            tokio::select! {
                () = shutdown => {}
                () = self.0.closed.cancelled() => closed = true,
            }
        };
        consumer::run(consumer, subscription, stop).boxed().await;
        if closed { Err(Error::new(ErrorKind::Closed, "while consuming")) } else { Ok(()) }
    }

    /// Looks whether a feed is full, or has dropped, for as long as it runs.
    async fn watch(
        &self,
        feed: Feed,
        opened: Arc<Mutex<Option<Place>>>,
        place: Arc<dyn Fn(Place) + Send + Sync>,
    ) -> std::convert::Infallible {
        let mut ticks = interval(feed.check_every.max(std::time::Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut dropped = 0;
        loop {
            ticks.tick().await;
            let at = opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(at) = at else { continue };
            // A broker that cannot be asked is found out by the consumer.
            let Ok(Some(stats)) = self.queue(at.queue()).await else { continue };
            if stats.messages >= feed.max_length as u64 || stats.dropped > dropped {
                tracing::warn!(
                    queue = at.queue(),
                    messages = stats.messages,
                    "feed is full: its place is lost"
                );
                place(Place::Full { queue: at.queue().to_owned() });
            }
            dropped = stats.dropped;
        }
    }

    fn topology(&self) -> MutexGuard<'_, Topology> {
        self.0.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consumers(&self) -> MutexGuard<'_, Vec<(String, Weak<SubscriptionState>)>> {
        self.0.consumers.lock().unwrap_or_else(PoisonError::into_inner)
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
