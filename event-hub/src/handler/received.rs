//! A delivery on its way to its handler.

use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use crate::consumer::attempts;
use crate::envelope::Event;
use crate::handler::{BoxError, Context, DeadLetterInfo, FromDelivery, RawDelivery, Undecodable};
use crate::message::{Delivery, HeaderValue};
use crate::schema::Upcasts;

/// A delivery on its way to its handler: the request of the consumer's `tower` service.
///
/// The event is read when it is first asked for, so that a layer can decide without it, and a handler of
/// bodies gets what is no event. Cheap to clone; a clone that has not read the event yet reads it for itself.
#[derive(Clone)]
pub struct Received {
    delivery: Delivery,
    standing: Standing,
    /// Made of the two when it is first asked for.
    context: OnceLock<Arc<Context>>,
    origin: Arc<Origin>,
    event: Option<Arc<Event>>,
    /// Whether the event's lag is on record.
    lag_told: bool,
}

/// Where a delivery stands in its history.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The first try is 1.
    pub(crate) attempt: u32,
    /// Whether it may have been handled before.
    pub(crate) redelivered: bool,
    /// What is known when it is a dead letter.
    pub(crate) dead_letter: Option<Box<DeadLetterInfo>>,
}

/// What the deliveries of one consumer have in common. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) upcasts: Upcasts,
    /// From the event's time to its handler's start.
    pub(crate) lag: metrics::Histogram,
}

// === impl Received ===

impl Received {
    pub(crate) fn new(delivery: Delivery, standing: Standing, origin: Arc<Origin>) -> Self {
        // A later try of the same delivery says nothing about the way here.
        let lag_told = standing.redelivered;
        Self { delivery, standing, context: OnceLock::new(), origin, event: None, lag_told }
    }

    /// What is known of the delivery beside its body.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.context.get_or_init(|| {
            Arc::new(Context {
                queue: self.delivery.queue.to_string(),
                attempt: self.standing.attempt,
                returns: self.delivery.returns,
                redelivered: self.standing.redelivered,
                routing_key: attempts::routing_key(&self.delivery.message).to_owned(),
                dead_letter: self.standing.dead_letter.as_deref().cloned(),
            })
        })
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The event, its data in the newest version that the hub knows.
    ///
    /// # Errors
    ///
    /// When it is none, or no steps lead to the newest version.
    pub fn event(&mut self) -> Result<&Event, Undecodable> {
        let event = match self.event.take() {
            Some(event) => event,
            None => self.read()?,
        };
        Ok(self.event.insert(event))
    }

    /// Any part of it, as a handler's parameter would get it.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    pub fn extract<T: FromDelivery>(&mut self) -> Result<T, BoxError> {
        T::from_delivery(self)
    }

    /// The delivery as it came.
    #[must_use]
    pub fn raw(&self) -> RawDelivery {
        let message = &self.delivery.message;
        let text = |(name, value): (&String, &HeaderValue)| (name.clone(), HeaderValue::to_text(value));
        RawDelivery {
            body: message.body.bytes().clone(),
            message_id: message.id().map(str::to_owned),
            content_type: message.properties().content_type.as_deref().map(str::to_owned),
            headers: message.headers().iter().map(text).collect(),
        }
    }

    /// A copy for one try, which takes the event along if it has been read.
    pub(crate) fn for_a_try(&mut self) -> Self {
        let told = self.lag_told;
        self.lag_told = true;
        Self {
            delivery: self.delivery.clone(),
            standing: self.standing.clone(),
            context: self.context.clone(),
            origin: Arc::clone(&self.origin),
            event: self.event.take(),
            lag_told: told,
        }
    }

    /// It is tried again, in its place.
    pub(crate) fn count_try(&mut self) {
        self.standing.attempt = self.standing.attempt.saturating_add(1);
        self.standing.redelivered = true;
        self.context = OnceLock::new();
    }

    /// The event, without a copy when nobody else has it.
    pub(crate) fn take_event(&mut self) -> Result<Event, Undecodable> {
        let event = match self.event.take() {
            Some(event) => event,
            None => self.read()?,
        };
        Ok(Arc::unwrap_or_clone(event))
    }

    fn read(&mut self) -> Result<Arc<Event>, Undecodable> {
        let event = self.delivery.message.event().and_then(|event| self.origin.upcasts.upcast_shared(event));
        let event = event.map_err(Undecodable::new)?;
        if !std::mem::replace(&mut self.lag_told, true) {
            let lag = Timestamp::now().duration_since(event.time).as_secs_f64();
            self.origin.lag.record(lag.max(0.0));
        }
        Ok(event)
    }
}

impl fmt::Debug for Received {
    // The body stays out: it may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("context", self.context()).finish_non_exhaustive()
    }
}
