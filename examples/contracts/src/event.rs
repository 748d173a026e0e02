//! From a payload to the event that carries it.

use serde::Serialize;
use tramline_event_hub::{Error, Event};

use crate::payloads::{PaymentChanged, PaymentEvent};

/// The data of one event type.
pub trait Payload: Serialize {
    /// The event type, which is also the routing key.
    const TYPE: &'static str;

    /// What the event is about: its subject, and the key that keeps its order.
    fn key(&self) -> String;
}

/// Wraps a payload into an event of `source`, such as `/auth-service`.
///
/// # Errors
///
/// If the payload does not serialize, which these do.
pub fn wrap<P: Payload>(source: &str, payload: &P) -> Result<Event, Error> {
    let key = payload.key();
    Ok(Event::new(P::TYPE, source, payload)?.with_subject(key.clone()).with_partition_key(key))
}

impl PaymentChanged {
    /// Wraps the payment into the event that tells what happened to it.
    ///
    /// # Errors
    ///
    /// If the payload does not serialize, which this does.
    pub fn wrap(&self, source: &str, event: PaymentEvent) -> Result<Event, Error> {
        let key = self.payment_id.to_string();
        Ok(Event::new(event.event_type(), source, self)?.with_subject(key.clone()).with_partition_key(key))
    }
}
