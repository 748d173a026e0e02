//! Running a handler over a subscription: the same for every broker.

mod attempts;
mod settle;
mod worker;

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::{ConsumerConfig, HubConfig};
use crate::driver::Backend;
use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::handler::{Context, Handler, Outcome, RawDelivery, RawHandler, chain};
use crate::message::{Delivery, HeaderValue};
use crate::metrics::ConsumerMetrics;
use crate::topology::DeadLetter;

pub(crate) use crate::consumer::worker::run;

/// What one consumer's deliveries have in common.
pub(crate) struct Consumer<P> {
    pub(crate) backend: Backend,
    pub(crate) hub: HubConfig,
    pub(crate) config: ConsumerConfig,
    pub(crate) name: String,
    pub(crate) process: P,
    pub(crate) failures: Failures,
    pub(crate) metrics: ConsumerMetrics,
}

/// What this consumer does with what fails.
#[derive(Clone, Debug)]
pub(crate) enum Failures {
    /// Again through the delay queues; given up, to the dead letters. Without any, again for ever.
    Move(Option<DeadLetter>),
    /// Again in place, which keeps the order; given up, dropped.
    Stay,
}

/// Why a delivery never gets to its handler: the reason and the error of its dead letter.
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    pub(crate) error: String,
}

/// A handler behind one face, whether it wants events or bodies.
pub(crate) trait Process: Send + Sync + 'static {
    type Input: Clone + Send;

    /// What the handler gets, or why it cannot.
    fn read(&self, delivery: &Delivery, hub: &HubConfig) -> Result<Self::Input, Refusal>;

    fn time(input: &Self::Input) -> Option<Timestamp>;

    fn process(&self, input: Self::Input, cx: Context) -> impl Future<Output = Outcome> + Send;
}

pub(crate) struct Events<H>(pub(crate) H);

pub(crate) struct Bodies<H>(pub(crate) H);

// === impl Consumer ===

impl<P> Consumer<P> {
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.hub.publish_timeout
    }

    /// How often an event is tried in all.
    pub(crate) fn max_attempts(&self) -> u32 {
        // Below the queue's own limit of 20, so that it is we who say why.
        self.config.retry.max_attempts.clamp(1, REDELIVERIES)
    }

    /// The delay before the next try: full doubling, and the upper half of it drawn.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let retry = &self.config.retry;
        let bound =
            retry.first_delay.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(retry.max_delay);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn of(error: &Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::UnknownVersion => "unknown_version",
            _ => "undecodable",
        };
        Self { reason, error: chain(error) }
    }
}

// === impl Events ===

impl<H: Handler> Process for Events<H> {
    type Input = Event;

    fn read(&self, delivery: &Delivery, hub: &HubConfig) -> Result<Event, Refusal> {
        let event = delivery.message.event().and_then(|event| hub.upcasts.upcast(event));
        event.map_err(|error| Refusal::of(&error))
    }

    fn time(event: &Event) -> Option<Timestamp> {
        Some(event.time)
    }

    fn process(&self, event: Event, cx: Context) -> impl Future<Output = Outcome> + Send {
        self.0.handle(event, cx)
    }
}

// === impl Bodies ===

impl<H: RawHandler> Process for Bodies<H> {
    type Input = RawDelivery;

    fn read(&self, delivery: &Delivery, _: &HubConfig) -> Result<RawDelivery, Refusal> {
        let message = &delivery.message;
        Ok(RawDelivery {
            body: message.body.clone(),
            message_id: message.properties.message_id.clone(),
            content_type: message.properties.content_type.clone(),
            headers: message
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::to_text(value)))
                .collect(),
        })
    }

    fn time(_: &RawDelivery) -> Option<Timestamp> {
        None
    }

    fn process(&self, delivery: RawDelivery, cx: Context) -> impl Future<Output = Outcome> + Send {
        self.0.handle(delivery, cx)
    }
}

/// The last redelivery that a handler sees; the queue itself gives up at 20.
pub(crate) const REDELIVERIES: u32 = 19;
