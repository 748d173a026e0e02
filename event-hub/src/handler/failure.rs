//! The errors that a consumer adds to its handler's own.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// A delivery is no event, its version is not known, or its payload is not of the shape that the handler wants: the event's own fault.
#[derive(Debug)]
pub struct Undecodable(Error);

/// The handler panicked.
#[derive(Clone, Debug)]
pub struct Panicked(String);

/// The handler took longer than the consumer's `handler_timeout`.
#[derive(Clone, Copy, Debug)]
pub struct TimedOut(Duration);

// === impl Undecodable ===

impl Undecodable {
    /// Marks an error as the event's own fault.
    #[must_use]
    pub fn new(error: Error) -> Self {
        Self(error)
    }

    /// What the dead letter gives as its reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self.0.kind() {
            ErrorKind::UnknownVersion => "unknown_version",
            _ => "undecodable",
        }
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Undecodable {
    // Of the error that speaks through this one, which is not said twice.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

// === impl Panicked ===

impl Panicked {
    pub(crate) fn new(panic: &(dyn std::any::Any + Send)) -> Self {
        let words = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no words");
        Self(words.to_owned())
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handler panicked: {}", self.0)
    }
}

impl StdError for Panicked {}

// === impl TimedOut ===

impl TimedOut {
    pub(crate) fn after(time: Duration) -> Self {
        Self(time)
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {:?}", self.0)
    }
}

impl StdError for TimedOut {}
