//! The crate's error.

use std::error::Error as StdError;
use std::fmt;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong. The cause, if any, is [`source`](StdError::source).
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    detail: String,
    source: Option<BoxError>,
}

/// The kinds of [`Error`], for callers that act on them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker, or the connection to it, failed.
    Broker,
    /// The hub has been shut down.
    Closed,
    /// A configuration value cannot be used.
    Config,
    /// What exists at the broker was declared differently.
    Conflict,
    /// An ordered consumer has ended at an event that failed for good, see [`Exhausted`](crate::config::Exhausted).
    Halted,
    /// An exclusive queue already has its consumer.
    InUse,
    /// The bytes are no event, or the event is not one that can be sent.
    InvalidEvent,
    /// The outbox's or inbox's database failed.
    Store,
    /// There was no answer in time.
    Timeout,
    /// The queue is in no topology that this hub has declared, or is not there.
    UnknownQueue,
    /// No steps lead from the data's version to the newest, see [`schema`](crate::schema).
    UnknownVersion,
}

// === impl Error ===

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, detail: detail.into(), source: None }))
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without a change on the caller's side.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Broker | ErrorKind::InUse | ErrorKind::Store | ErrorKind::Timeout)
    }
}

impl fmt::Display for Error {
    // This level only: reporters walk `source` themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.kind {
            ErrorKind::Broker => "the broker failed",
            ErrorKind::Closed => "the hub is shut down",
            ErrorKind::Config => "unusable configuration",
            ErrorKind::Conflict => "declared differently at the broker",
            ErrorKind::Halted => "the consumer halted",
            ErrorKind::InUse => "the queue has its exclusive consumer",
            ErrorKind::InvalidEvent => "not a usable event",
            ErrorKind::Store => "the store failed",
            ErrorKind::Timeout => "no answer in time",
            ErrorKind::UnknownQueue => "unknown queue",
            ErrorKind::UnknownVersion => "unknown version",
        };
        if self.0.detail.is_empty() { f.write_str(what) } else { write!(f, "{what}: {}", self.0.detail) }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&**self.0.source.as_ref()?)
    }
}
