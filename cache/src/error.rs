//! The crate's error.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What went wrong. Reading and writing have no errors but those of loads: a shared tier that is away is slower, and
/// never an error.
///
/// Everybody who waited for a load gets the same one, so it is cheap to clone.
#[derive(Clone, Debug)]
pub struct Error(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    detail: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Below a load's error: it failed by what is its caller's own, as layers know it. The next load may not, and is not put off.
#[derive(Debug)]
#[cfg_attr(not(feature = "tower"), allow(dead_code, reason = "only layers say so"))]
pub(crate) struct OfCaller;

/// The kinds of [`Error`], for callers that act on them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration value cannot be used.
    Config,
    /// The load answered an error: [`Error::load`] has it. Without one, the load found nothing where something was asked
    /// for, one of many keys followed another caller's load that failed, or the runtime shut down.
    Load,
    /// The load panicked.
    Panicked,
    /// The load took longer than [`Policy::hard_timeout`](crate::Policy::hard_timeout), or waited for so long for those that
    /// run ([`StoreConfig::max_loads`](crate::StoreConfig::max_loads)).
    TimedOut,
}

const ANOTHER: &str = "the load of another caller failed";

// === impl Error ===

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, detail: detail.into(), source: None }))
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        detail: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, detail: detail.into(), source: Some(source.into()) }))
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a time was over: that of the load, or of one inside it.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ErrorKind::TimedOut || self.inside().is_some_and(Self::is_timeout)
    }

    /// Whether the same question may be answered a little later, as far as the cache can know: a time was over, or another
    /// caller's load failed, which says nothing of this one's. What an error of the load's own says is its own affair
    /// ([`load`](Self::load)).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let another = self.0.kind == ErrorKind::Load && self.0.detail == ANOTHER;
        self.0.kind == ErrorKind::TimedOut || another || self.inside().is_some_and(Self::is_retryable)
    }

    /// The load's own error, when it is one and of this type.
    #[must_use]
    pub fn load<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.as_deref()?.downcast_ref()
    }

    /// The load of another caller, which this one had followed.
    pub(crate) fn of_another() -> Self {
        Self::new(ErrorKind::Load, ANOTHER)
    }

    /// The error of a load inside the load.
    fn inside(&self) -> Option<&Self> {
        self.load()
    }

    /// The word for it in figures and spans.
    pub(crate) fn label(&self) -> &'static str {
        match self.0.kind {
            ErrorKind::Config => "config",
            ErrorKind::Load => "failed",
            ErrorKind::Panicked => "panic",
            ErrorKind::TimedOut => "timeout",
        }
    }

    /// With what is behind it, for a line that nobody else adds that to.
    pub(crate) fn with_causes(&self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            write!(f, "{self}")?;
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
            Ok(())
        })
    }

    /// Whether the load failed by what is its caller's own.
    pub(crate) fn is_of_caller(&self) -> bool {
        let load = self.0.source.as_deref().and_then(StdError::source);
        load.is_some_and(<dyn StdError>::is::<OfCaller>)
    }
}

impl fmt::Display for Error {
    // This level only: reporters walk `source` themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.kind {
            ErrorKind::Config => "unusable configuration",
            ErrorKind::Load => "the load failed",
            ErrorKind::Panicked => "the load panicked",
            ErrorKind::TimedOut => "the load took too long",
        };
        if self.0.detail.is_empty() { f.write_str(what) } else { write!(f, "{what}: {}", self.0.detail) }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&**self.0.source.as_ref()?)
    }
}

// === impl OfCaller ===

impl fmt::Display for OfCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("by what is its caller's own")
    }
}

impl StdError for OfCaller {}

#[cfg(test)]
mod tests;
