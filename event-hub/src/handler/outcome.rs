//! What a handler answers.

use std::error::Error as StdError;
use std::time::Duration;

use crate::handler::{BoxError, chain};

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
    /// Not handled at all: back into the queue, for someone else. No attempt, but brokers before RabbitMQ 4.3 count
    /// it as a delivery without an answer: after 19 of these it becomes a dead letter, `redelivered`. To wait for
    /// longer than some seconds use [`Outcome::RetryAfter`], or let an error [pause](crate::handler::Action::Pause)
    /// the consumer.
    Return,
}

/// What a handler may give: an [`Outcome`], nothing for [`Outcome::Ack`], or a `Result` of these.
pub trait IntoOutcome {
    /// The outcome, or the error that the consumer's [`ErrorTable`](crate::handler::ErrorTable) judges.
    ///
    /// # Errors
    ///
    /// The handler's own.
    fn into_outcome(self) -> Result<Outcome, BoxError>;
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

// === impl IntoOutcome ===

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(self)
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Ack)
    }
}

impl<T: IntoOutcome, E: Into<BoxError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        self.map_err(Into::into)?.into_outcome()
    }
}
