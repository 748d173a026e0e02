//! Handlers, what they are told and what they answer.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::envelope::{self, Event, HeaderRef};
use crate::error::Error;

/// Handles events, one call per delivery. Implemented for `Fn(Event, Context) -> impl Future<Output = Outcome>`.
///
/// A panic counts as a failure, and so does a call that takes longer than the consumer's `handler_timeout`.
pub trait Handler: Send + Sync + 'static {
    /// Handles one event. At least once: repeats are possible, see the inbox.
    fn handle(&self, event: Event, cx: Context) -> impl Future<Output = Outcome> + Send;
}

/// Handles deliveries that need not be events, as those of a dead-letter queue.
pub trait RawHandler: Send + Sync + 'static {
    /// Handles one delivery.
    fn handle(&self, delivery: RawDelivery, cx: Context) -> impl Future<Output = Outcome> + Send;
}

/// What becomes of a delivery.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done.
    Ack,
    /// Failed for now: again after the policy's delay, or a dead letter when tried too often.
    Retry {
        /// Why.
        reason: String,
    },
    /// Failed for now: again after this delay, or a dead letter when tried too often.
    RetryAfter {
        /// How long to wait, to a tenth of a second and at most some seven hours.
        delay: Duration,
        /// Why.
        reason: String,
    },
    /// Failed for good: a dead letter.
    Reject {
        /// Why.
        reason: String,
    },
    /// Not handled at all: back into the queue, for someone else.
    Return,
}

/// What a handler is told beside the event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The queue it came from.
    pub queue: String,
    /// The first try is 1.
    pub attempt: u32,
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
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// The queue in which it failed.
    pub queue: Option<String>,
    /// The key it was first published with.
    pub routing_key: Option<String>,
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
    /// Headers that are text, whole numbers, flags or times, as text.
    pub headers: Vec<(String, String)>,
}

// === impl Handler ===

impl<F, Fut> Handler for F
where
    F: Fn(Event, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    fn handle(&self, event: Event, cx: Context) -> impl Future<Output = Outcome> + Send {
        self(event, cx)
    }
}

// === impl RawHandler ===

impl<F, Fut> RawHandler for F
where
    F: Fn(RawDelivery, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    fn handle(&self, delivery: RawDelivery, cx: Context) -> impl Future<Output = Outcome> + Send {
        self(delivery, cx)
    }
}

// === impl Outcome ===

impl Outcome {
    /// Failed for now, with the error's whole chain as the reason.
    #[must_use]
    pub fn retry(error: &(dyn StdError + 'static)) -> Self {
        Self::Retry { reason: chain(error) }
    }

    /// Failed for good, with the error's whole chain as the reason.
    #[must_use]
    pub fn reject(error: &(dyn StdError + 'static)) -> Self {
        Self::Reject { reason: chain(error) }
    }
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
