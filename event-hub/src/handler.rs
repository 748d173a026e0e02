//! Handlers: what they take, what they are told and what they answer.
//!
//! A handler is an `async fn` of up to four parts of a delivery ([`FromDelivery`]): the [`Event`], its
//! [`Data`], the [`Context`], the [`RawDelivery`]. It answers with an [`Outcome`], or with a `Result` whose
//! error the consumer's [`ErrorTable`] turns into one ([`IntoOutcome`]).
//!
//! ```
//! use serde::Deserialize;
//! use tramline_event_hub::Outcome;
//! use tramline_event_hub::handler::{Data, Handler};
//!
//! #[derive(Deserialize)]
//! struct Placed {
//!     order: u64,
//! }
//!
//! async fn placed(Data(placed): Data<Placed>) -> Result<(), std::num::TryFromIntError> {
//!     let _small: u32 = placed.order.try_into()?;
//!     Ok(())
//! }
//!
//! fn is_a_handler<M>(_: impl Handler<M>) {}
//! is_a_handler(placed);
//! is_a_handler(async || Outcome::Ack);
//! ```
//!
//! # Layers
//!
//! [`Handler::into_service`] makes a `tower` service of a handler, and
//! [`Hub::consume_service`](crate::Hub::consume_service) runs any service that takes a [`Received`], so that
//! tower's layers apply as they are. A layer's own error, as that of a timeout, goes through the same table.

mod error_table;
mod extract;
mod failure;
mod function;
mod outcome;
pub(crate) mod received;
mod service;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;

use crate::envelope::{self, Event, HeaderRef};
use crate::error::Error;

pub use crate::handler::error_table::{Action, ErrorTable, find};
pub use crate::handler::extract::{Data, FromDelivery};
pub use crate::handler::failure::{Panicked, TimedOut, Undecodable};
pub use crate::handler::outcome::{IntoOutcome, Outcome};
pub use crate::handler::received::Received;
pub use crate::handler::service::HandlerService;

/// Any error, as handlers and layers give it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Handles deliveries, one call each. At least once: repeats are possible, see the inbox.
///
/// Implemented for every `Fn` of up to four parts ([`FromDelivery`]) whose future gives an [`IntoOutcome`];
/// `M` tells these implementations apart. A type of your own implements `Handler` and takes the [`Received`].
///
/// A panic counts as a failure, and so does a call that takes longer than the consumer's `handler_timeout`. A call that
/// blocks its thread can neither be timed nor ended, and keeps a worker of the runtime from everything else: hand such
/// work to `tokio::task::spawn_blocking`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "not an `async fn` of up to four parts of a delivery that gives an outcome",
    note = "each parameter must be `FromDelivery`, the result `IntoOutcome`, and the future `Send`"
)]
pub trait Handler<M = Received>: Send + Sync + 'static {
    /// Handles one delivery. What the consumer does with an error is its [`ErrorTable`]'s word.
    fn handle(&self, received: Received) -> impl Future<Output = Result<Outcome, BoxError>> + Send;

    /// The handler as a `tower` service, for layers.
    fn into_service(self) -> HandlerService<Self, M>
    where
        Self: Sized,
    {
        HandlerService::new(self)
    }
}

/// What a handler is told beside the event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The queue it came from.
    pub queue: String,
    /// The first try is 1; one more after each failure that a handler has answered for.
    pub attempt: u32,
    /// How often the queue took this copy back without an answer: after a crash or a lost channel, and on brokers
    /// before RabbitMQ 4.3 also when it was given back. Whoever had it may not have begun it. A classic queue knows
    /// no more than whether it was so.
    pub returns: u32,
    /// Whether it may have been handled before.
    pub redelivered: bool,
    /// The key it was published with.
    pub routing_key: String,
    /// What is known when it is a dead letter.
    pub dead_letter: Option<DeadLetterInfo>,
}

/// Why something became a dead letter.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeadLetterInfo {
    /// `rejected`, `attempts`, `undecodable`, `unknown_version`, `redelivered` from us; `delivery_limit`, `expired`, `maxlen` from the broker.
    pub reason: String,
    /// The error chain of the last failure, cut to 4 KiB.
    pub error: Option<String>,
    /// The consumer that gave up.
    pub handler: Option<String>,
    /// How often it was tried; for `redelivered`, tried or taken back without an answer.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// The queue in which it failed.
    pub queue: Option<String>,
    /// The key it was first published with.
    pub routing_key: Option<String>,
    /// The exchange it was first published to.
    pub exchange: Option<String>,
    /// How often it had been sent back to its queue before it died this time.
    pub redrives: u32,
    /// Why it had died the time before, if it was sent back.
    pub previous_reason: Option<String>,
}

/// A delivery as it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawDelivery {
    /// The body; an event's JSON, or not.
    pub body: Bytes,
    /// The sender's id, when it gave one.
    pub message_id: Option<String>,
    /// The sender's content type.
    pub content_type: Option<String>,
    /// Its headers: text, whole numbers, flags and times as text, all others as JSON.
    pub headers: Vec<(String, String)>,
}

// === impl RawDelivery ===

impl RawDelivery {
    /// The event, when it is one, in structured or in binary mode, and in the version that it came in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`](crate::ErrorKind::InvalidEvent) when it is none.
    pub fn event(&self) -> Result<Event, Error> {
        let headers = self.headers.iter().map(|(name, text)| (name.as_str(), HeaderRef::Text(text)));
        envelope::read(self.content_type.as_deref(), headers, &self.body, None)
    }

    /// A header, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let _ = write!(text, ": {error}");
        next = error.source();
    }
    text
}
