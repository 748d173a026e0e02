//! What a publish answers.

use std::error::Error as StdError;
use std::fmt;

use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::memory::Lineage;

/// The hub has the event: every queue that wanted it has taken it.
#[derive(Debug)]
pub struct Receipt {
    /// The event's copies; none where the broker keeps them.
    copies: Option<Lineage>,
}

/// Why the hub does not say that it has the event. The event comes back with it.
pub struct PublishError(Box<Inner>);

struct Inner {
    kind: PublishErrorKind,
    event: Event,
}

/// The kinds of [`PublishError`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// No answer in time, and the broker does not read from us: it is short of memory or disk. The event may or
    /// may not have arrived. Send the same event again, with its id.
    Blocked,
    /// The hub has been shut down; the event was not sent.
    Closed,
    /// A queue of the memory hub had no room for it in time. It has not arrived, in any queue.
    Full,
    /// The broker refused it.
    Nacked,
    /// The broker closed the channel over this event, or over another that was out beside it.
    Refused {
        /// The broker's code: 403 for a missing permission, 404 for an exchange that is gone, 406 for a body that is
        /// too large for it.
        code: u16,
        /// The broker's words.
        text: String,
        /// Whether no other event was out on the channel: then it is this one that the broker does not take, and it
        /// has not arrived. Otherwise it may or may not have arrived, and the same event, sent again, is answered for
        /// itself.
        alone: bool,
    },
    /// No queue wanted it.
    Returned {
        /// The broker's code, 312 for «no route».
        code: u16,
        /// The broker's words.
        text: String,
        /// The routing key that led nowhere.
        key: String,
    },
    /// No answer in time; it may or may not have arrived. Send the same event again, with its id.
    Timeout,
    /// Larger than a message may be. It was not sent: a broker would close the channel over it, or the connection.
    TooLarge {
        /// What is: `body`, see [`HubConfig::max_body`](crate::HubConfig::max_body), `headers` (all together must fit
        /// into one frame), or `type`, which is the routing key.
        what: &'static str,
        /// Its bytes.
        size: usize,
        /// How many it may have.
        max: usize,
    },
    /// The connection was lost before the answer; it may or may not have arrived. Send the same event again.
    Unknown,
}

// === impl Receipt ===

impl Receipt {
    pub(crate) fn kept_by_broker() -> Self {
        Self { copies: None }
    }

    pub(crate) fn until_settled(copies: Lineage) -> Self {
        Self { copies: Some(copies) }
    }

    /// Waits until nothing of the event can be lost with this process any more.
    ///
    /// On RabbitMQ that is so at once. On the memory hub it is when every work queue that got it has
    /// acknowledged it, or has moved it to the dead letters and that was acknowledged there. A queue without dead
    /// letters that drops it, expired or delivered too often, has settled it too. Feeds do not count.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the memory hub went away before that: the event was not handled by all.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when dropped.
    pub async fn settled(self) -> Result<(), Error> {
        match self.copies {
            Some(copies) if !copies.settled().await => {
                Err(Error::new(ErrorKind::Closed, "before the event was settled"))
            }
            _ => Ok(()),
        }
    }
}

// === impl PublishError ===

impl PublishError {
    pub(crate) fn new(kind: PublishErrorKind, event: Event) -> Self {
        Self(Box::new(Inner { kind, event }))
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> &PublishErrorKind {
        &self.0.kind
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.0.event
    }

    /// Takes the event back, to send it again.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.0.event
    }

    /// Whether it was this very event that was not taken: no queue wanted it or had room, the broker refused it, or it
    /// is too large. Sent again as it is, it is refused again until something changes at the broker.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.0.kind.is_refusal()
    }

    /// Whether no queue wanted it.
    #[must_use]
    pub fn is_returned(&self) -> bool {
        matches!(self.0.kind, PublishErrorKind::Returned { .. })
    }

    /// Whether it may have arrived nevertheless.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        self.0.kind.may_have_arrived()
    }
}

impl fmt::Debug for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishError").field("kind", &self.0.kind).field("event", &self.0.event).finish()
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} was not confirmed: {}", self.0.event.id, self.0.kind)
    }
}

impl StdError for PublishError {}

impl PublishErrorKind {
    /// Whether the event may have arrived nevertheless.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Blocked | Self::Refused { alone: false, .. } | Self::Timeout | Self::Unknown)
    }

    /// Whether it was this very event that was not taken.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Full
                | Self::Nacked
                | Self::Refused { alone: true, .. }
                | Self::Returned { .. }
                | Self::TooLarge { .. }
        )
    }

    /// A short word for it, for spans and labels.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Closed => "closed",
            Self::Full => "full",
            Self::Nacked => "nacked",
            Self::Refused { .. } => "refused",
            Self::Returned { .. } => "returned",
            Self::Timeout => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for PublishErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked => f.write_str("no answer in time: the broker is blocked, short of memory or disk"),
            Self::Closed => f.write_str("the hub is shut down"),
            Self::Full => f.write_str("no room in time: a queue is full"),
            Self::Nacked => f.write_str("refused by the broker"),
            Self::Refused { code, text, alone: true } => write!(f, "the broker refused it: {code} {text}"),
            Self::Refused { code, text, alone: false } => {
                write!(f, "the broker refused it, or an event beside it: {code} {text}")
            }
            Self::Returned { code, text, key } => write!(f, "returned ({code} {text}, key {key})"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::TooLarge { what, size, max } => {
                write!(f, "too large to be sent: its {what} has {size} bytes, {max} is the most")
            }
            Self::Unknown => f.write_str("connection lost before the answer"),
        }
    }
}
