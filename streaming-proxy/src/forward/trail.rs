//! How far a request has come.

use std::sync::Arc;

use crate::body::upload::Progress;
use crate::error::{Sent, Stage};

/// How far a request has come, for the error that may end it at any moment.
#[derive(Debug)]
pub(super) struct Trail {
    state: State,
    /// The most that earlier tries have sent.
    earlier: Sent,
}

#[derive(Debug)]
enum State {
    /// Nothing of it has been sent.
    Before(Stage),
    /// It was given to a connection; a request without a body as a whole.
    Exchanging(Option<Arc<Progress>>),
}

// === impl Trail ===

impl Trail {
    /// A new try, or the next step of one that has sent nothing.
    pub(super) fn before(&mut self, stage: Stage) {
        self.earlier = self.sent();
        self.state = State::Before(stage);
    }

    pub(super) fn exchanging(&mut self, upload: Option<Arc<Progress>>) {
        self.state = State::Exchanging(upload);
    }

    /// The connection has not written any of it.
    pub(super) fn given_back(&mut self) {
        self.state = State::Before(Stage::Send);
    }

    pub(super) fn stage(&self) -> Stage {
        match &self.state {
            State::Before(stage) => *stage,
            State::Exchanging(_) if self.now() == Sent::Fully => Stage::Head,
            State::Exchanging(_) => Stage::Send,
        }
    }

    /// How much of it this try has sent.
    pub(super) fn now(&self) -> Sent {
        match &self.state {
            State::Before(_) => Sent::Not,
            State::Exchanging(upload) => upload.as_ref().map_or(Sent::Fully, |upload| upload.sent()),
        }
    }

    /// How much of it any try has sent.
    pub(super) fn sent(&self) -> Sent {
        self.earlier.max(self.now())
    }
}

impl Default for Trail {
    fn default() -> Self {
        Self { state: State::Before(Stage::Receive), earlier: Sent::Not }
    }
}
