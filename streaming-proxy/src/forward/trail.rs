//! How far a request has come.

use std::sync::Arc;

use crate::body::upload::Progress;
use crate::error::{Sent, Stage};

/// How far a request has come, for the error that may end it at any moment.
#[derive(Debug)]
pub(super) enum Trail {
    /// Nothing of it has been sent.
    Before(Stage),
    /// It was given to a connection; a request without a body as a whole.
    Exchanging(Option<Arc<Progress>>),
}

// === impl Trail ===

impl Trail {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Before(stage) => *stage,
            Self::Exchanging(_) if self.sent() == Sent::Fully => Stage::Head,
            Self::Exchanging(_) => Stage::Send,
        }
    }

    pub(super) fn sent(&self) -> Sent {
        match self {
            Self::Before(_) => Sent::Not,
            Self::Exchanging(upload) => upload.as_ref().map_or(Sent::Fully, |upload| upload.sent()),
        }
    }
}

impl Default for Trail {
    fn default() -> Self {
        Self::Before(Stage::Receive)
    }
}
