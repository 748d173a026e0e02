//! How far a request has come.

use std::sync::Arc;

use tokio::time::Instant;

use crate::body::upload::Progress;
use crate::error::{Sent, Stage};
use crate::journal::{Facts, Journal};

/// How far a request has come, for the error that may end it at any moment.
#[derive(Debug)]
pub(super) struct Trail {
    state: State,
    /// The most that earlier tries have sent.
    earlier: Sent,
    /// Where its times are written down, and since when the state is what it is.
    log: Option<(Journal, Instant)>,
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
    pub(super) fn new(journal: Option<Journal>) -> Self {
        Self { log: journal.map(|journal| (journal, Instant::now())), ..Self::default() }
    }

    /// A new try, or the next step of one that has sent nothing.
    pub(super) fn before(&mut self, stage: Stage) {
        self.tick();
        self.earlier = self.sent();
        self.state = State::Before(stage);
    }

    pub(super) fn exchanging(&mut self, upload: Option<Arc<Progress>>) {
        self.tick();
        self.note(|facts| facts.attempts = facts.attempts.saturating_add(1));
        self.state = State::Exchanging(upload);
    }

    /// The head of the answer is there, or nothing will come any more.
    pub(super) fn over(&mut self) {
        self.tick();
    }

    /// It is about to try this address.
    pub(super) fn at(&self, address: &str) {
        self.note(|facts| facts.address = Some(address.to_owned()));
    }

    /// Writes down what the time since the last step went to.
    fn tick(&mut self) {
        let Some((journal, since)) = &mut self.log else { return };
        let now = Instant::now();
        let passed = now.duration_since(std::mem::replace(since, now));
        journal.note(|Facts { times, .. }| match self.state {
            State::Before(Stage::Queue) => times.queue += passed,
            State::Before(Stage::Connect) => times.connect += passed,
            State::Before(_) => {}
            State::Exchanging(_) => times.head += passed,
        });
    }

    fn note(&self, note: impl FnOnce(&mut Facts)) {
        if let Some((journal, _)) = &self.log {
            journal.note(note);
        }
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
        Self { state: State::Before(Stage::Receive), earlier: Sent::Not, log: None }
    }
}
