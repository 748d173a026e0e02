//! The parts of a delivery that a handler can ask for.

use serde::de::DeserializeOwned;

use crate::envelope::Event;
use crate::handler::{BoxError, Context, RawDelivery, Received, Undecodable};

/// A part of a delivery.
///
/// An [`Undecodable`] error makes a dead letter at once, as long as the consumer's
/// [`ErrorTable`](crate::handler::ErrorTable) does not say otherwise; any other is judged as a handler's.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from a delivery",
    note = "try `Event`, `Data<T>` for the payload, `Context`, `RawDelivery` or `Received`"
)]
pub trait FromDelivery: Sized + Send {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    fn from_delivery(received: &mut Received) -> Result<Self, BoxError>;
}

/// The event's payload, read as a `T`. One that cannot be is a dead letter, «undecodable», without retries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "made to be taken apart in a handler's parameters")]
pub struct Data<T>(pub T);

// === impl FromDelivery ===

impl FromDelivery for Event {
    fn from_delivery(received: &mut Received) -> Result<Self, BoxError> {
        Ok(received.take_event()?)
    }
}

impl<T: DeserializeOwned + Send> FromDelivery for Data<T> {
    fn from_delivery(received: &mut Received) -> Result<Self, BoxError> {
        let data = received.event()?.data();
        Ok(Self(data.map_err(Undecodable::new)?))
    }
}

impl FromDelivery for Context {
    fn from_delivery(received: &mut Received) -> Result<Self, BoxError> {
        Ok(received.context().clone())
    }
}

impl FromDelivery for RawDelivery {
    fn from_delivery(received: &mut Received) -> Result<Self, BoxError> {
        Ok(received.raw())
    }
}

impl FromDelivery for Received {
    fn from_delivery(received: &mut Received) -> Result<Self, BoxError> {
        Ok(received.clone())
    }
}
