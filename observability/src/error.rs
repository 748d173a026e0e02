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
    /// The log filter does not parse.
    Filter,
    /// The export of spans cannot be set up: the endpoint does not parse, or the feature `otlp` is off.
    Export,
    /// The process has another metrics recorder already.
    RecorderTaken,
    /// A thread could not be started.
    Thread,
}

// === impl Error ===

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(crate) fn with_source(kind: ErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Filter => "the log filter does not parse",
            ErrorKind::Export => "the export of spans cannot be set up",
            ErrorKind::RecorderTaken => "the process has another metrics recorder",
            ErrorKind::Thread => "a thread could not be started",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}
