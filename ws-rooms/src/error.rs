//! The crate's error.

use std::error::Error as StdError;
use std::fmt;

/// What went wrong. The cause, if any, is [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`], for callers that act on them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The backplane could not be reached, or did not answer in time.
    Backplane,
    /// The session has stopped.
    Closed,
    /// A setting cannot be used.
    Config,
    /// The connection could not be opened.
    Connect,
    /// The source of credentials failed, or what it gave cannot be sent.
    Credential,
    /// The event is not one JSON object.
    InvalidEvent,
    /// The room's name is not well formed, or the room is of the wrong kind for this call.
    InvalidRoom,
    /// The other side broke the protocol, or the connection.
    Protocol,
    /// Too many requests wait already.
    QueueFull,
    /// The server refused the upgrade.
    Refused,
    /// The server answered a request with an error.
    Rejected,
    /// No answer came in time.
    Timeout,
    /// The event is larger than the node passes on.
    TooLarge,
    /// The event is for more rooms than one event may be for.
    TooManyRooms,
}

// === impl Error ===

impl Error {
    /// An error of this kind, for drivers of a backplane.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with(kind: ErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Backplane | ErrorKind::Connect | ErrorKind::QueueFull | ErrorKind::Timeout
        )
    }
}

impl fmt::Display for Error {
    // This level only: reporters walk `source` themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Backplane => "the backplane is unavailable",
            ErrorKind::Closed => "the session has stopped",
            ErrorKind::Config => "a setting cannot be used",
            ErrorKind::Connect => "the connection could not be opened",
            ErrorKind::Credential => "no credential that can be sent",
            ErrorKind::InvalidEvent => "the event is not a JSON object",
            ErrorKind::InvalidRoom => "the room's name is not valid here",
            ErrorKind::Protocol => "the connection broke the protocol",
            ErrorKind::QueueFull => "too many requests wait already",
            ErrorKind::Refused => "the server refused the upgrade",
            ErrorKind::Rejected => "the server answered with an error",
            ErrorKind::Timeout => "no answer came in time",
            ErrorKind::TooLarge => "the event is too large",
            ErrorKind::TooManyRooms => "the event is for too many rooms",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}
