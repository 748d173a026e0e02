//! What a drain did.

use std::time::Duration;

use crate::lifecycle::Phase;

/// What [`Lifecycle::drain`](crate::Lifecycle::drain) did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The phases in their order.
    pub phases: Vec<PhaseReport>,
    /// Who was not over at the limit, and was aborted.
    pub aborted: Vec<&'static str>,
    /// How long it took.
    pub took: Duration,
}

/// One phase of a [`DrainReport`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PhaseReport {
    /// The phase.
    pub phase: Phase,
    /// How long the drain waited in it.
    pub took: Duration,
    /// Who was not over when it moved on.
    pub late: Vec<&'static str>,
}

/// A task that ended before it was told to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TaskEnd {
    /// The task's name.
    pub name: &'static str,
    /// Whether it panicked.
    pub panicked: bool,
}

// === impl DrainReport ===

impl DrainReport {
    /// Whether everyone finished, none aborted.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.aborted.is_empty()
    }
}
