//! The crate's error.

use std::error::Error as StdError;
use std::fmt;

/// What cannot be used. Reading and loading have no errors but the loader's own.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    detail: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`], for callers that act on them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration value cannot be used.
    Config,
    /// Not a usable key or tag.
    InvalidKey,
    /// More tags than an entry may have.
    TooManyTags,
}

// === impl Error ===

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, detail: detail.into(), source: None }))
    }

    #[cfg(feature = "redis")]
    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    // This level only: reporters walk `source` themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.kind {
            ErrorKind::Config => "unusable configuration",
            ErrorKind::InvalidKey => "not a usable key",
            ErrorKind::TooManyTags => "too many tags",
        };
        write!(f, "{what}: {}", self.0.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&**self.0.source.as_ref()?)
    }
}
