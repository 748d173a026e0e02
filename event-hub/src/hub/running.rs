//! Consumers from their start to their end.

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::time::{Duration, MissedTickBehavior, interval};

use crate::config::{ConsumerConfig, Exhausted};
use crate::consumer::{self, Consumer, Failures, Gate, Halt, Process};
use crate::driver::{Source, Subscribe};
use crate::error::{Error, ErrorKind};
use crate::feed::{Feed, Place};
use crate::handler::received::Origin;
use crate::hub::Hub;
use crate::telemetry::{ConsumerMetrics, ProcessSpans};

impl Hub {
    /// Whether an exchange is there, at the broker or in the memory hub, whoever has made it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Broker`] or [`ErrorKind::Timeout`] when the broker cannot be asked.
    pub async fn has_exchange(&self, name: &str) -> Result<bool, Error> {
        self.0.backend.has_exchange(name).await
    }

    pub(super) async fn consume_queue(
        &self,
        queue: &str,
        config: ConsumerConfig,
        process: impl Process,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let Some(declared) = self.topology().resolved().find_queue(queue).cloned() else {
            return Err(Error::new(ErrorKind::UnknownQueue, queue));
        };
        let failures = if declared.is_feed() { Failures::Stay } else { Failures::Move(declared.dead_letter) };
        self.run(Source::Queue(queue.to_owned()), config, process, failures, shutdown).await
    }

    pub(super) async fn run(
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
        self.0.config.upcasts.check()?;
        config.check()?;
        check_order(&config, &failures, source.name())?;
        let name = config.name.clone().unwrap_or_else(|| source.name().to_owned());
        let subscription = self.0.backend.subscribe(Subscribe {
            source: source.clone(),
            prefetch: config.prefetch,
            single_active: self.is_single_active(source.name()),
            name: name.clone(),
        });
        let metrics = ConsumerMetrics::new(self.0.backend.system(), &name);
        let gate = Arc::new(Gate::new(config.breaker.clone(), name.clone(), metrics.paused.clone()));
        let _running = self.0.consumers.enter(source.name(), &subscription.state, Some(Arc::clone(&gate)));
        let halt = Halt::default();
        let consumer = Arc::new(Consumer {
            backend: self.0.backend.clone(),
            hub: self.0.config.clone(),
            origin: Arc::new(Origin { upcasts: self.0.config.upcasts.clone(), lag: metrics.lag.clone() }),
            spans: ProcessSpans::new(self.0.backend.system(), &name, self.0.config.join_trace.clone()),
            metrics,
            config,
            name,
            process,
            failures,
            gate,
            halt: halt.clone(),
            draining: AtomicBool::new(false),
        });
        let mut closed = false;
        let stop = async {
            tokio::select! {
                () = shutdown => {}
                () = self.0.closed.cancelled() => closed = true,
            }
        };
        let told = consumer::run(consumer, subscription, stop).boxed().await;
        if let Some(why) = halt.why() {
            self.0.consumers.halted(source.name(), why);
            return Err(Error::new(ErrorKind::Halted, format!("{}: {why}", source.name())));
        }
        if closed {
            return Err(Error::new(ErrorKind::Closed, "while consuming"));
        }
        match (told, self.0.closed.is_cancelled()) {
            (true, _) => Ok(()),
            (false, true) => Err(Error::new(ErrorKind::Closed, "while consuming")),
            (false, false) => Err(Error::new(ErrorKind::Broker, "the subscription ended by itself")),
        }
    }

    fn is_single_active(&self, queue: &str) -> bool {
        self.topology().find_queue(queue).is_some_and(|queue| queue.single_active_consumer)
    }

    /// Looks whether a feed is full, or has dropped, for as long as it runs.
    pub(super) async fn watch(
        &self,
        feed: Feed,
        opened: Arc<Mutex<Option<Place>>>,
        place: Arc<dyn Fn(Place) + Send + Sync>,
    ) -> std::convert::Infallible {
        let mut ticks = interval(feed.check_every.max(Duration::from_millis(10)));
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
}

/// Where nothing can be put aside, the only way to keep the order is to stop.
fn check_order(config: &ConsumerConfig, failures: &Failures, queue: &str) -> Result<(), Error> {
    match (&config.order, failures) {
        (Some(order), Failures::Move(None)) if order.exhausted == Exhausted::DeadLetter => Err(Error::new(
            ErrorKind::Config,
            format!("{queue} has no dead letters: an ordered consumer of it must stop where one fails"),
        )),
        _ => Ok(()),
    }
}
