//! The crate's error.

use std::error::Error as StdError;

/// A boxed cause, as given by journals, look-ups and key sources.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong. The cause, if any, is [`source`](StdError::source).
#[derive(Debug, thiserror::Error)]
#[error("{}", .kind.text())]
pub struct Error {
    kind: ErrorKind,
    #[source]
    source: Option<BoxError>,
}

/// The kinds of [`Error`], for callers that act on them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Too many callers already wait for a password hash.
    Busy,
    /// A cryptographic operation failed: a row sealed with another key, a damaged hash.
    Crypto,
    /// The journal refused the change; nothing was written.
    Journal,
    /// The key file is not one of ours, or could not be read or written.
    KeyFile,
    /// The look-up of the user's current data failed.
    Lookup,
    /// The database failed.
    Store,
    /// A shared engine (Redis) is away or its address does not parse.
    Unavailable,
}

// === impl Error ===

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(crate) fn with(kind: ErrorKind, source: impl Into<BoxError>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed a little later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Busy | ErrorKind::Lookup | ErrorKind::Store | ErrorKind::Unavailable)
    }
}

// === impl ErrorKind ===

impl ErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::Busy => "too many password hashes are waiting",
            Self::Crypto => "a cryptographic operation failed",
            Self::Journal => "the journal refused the change",
            Self::KeyFile => "the key file is unusable",
            Self::Lookup => "the look-up of the user failed",
            Self::Store => "the session store failed",
            Self::Unavailable => "a shared engine is unavailable",
        }
    }
}
