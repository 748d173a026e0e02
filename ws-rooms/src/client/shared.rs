//! What the handles and the owner task have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::questions::Questions;
use super::state::{State, StopReason};

/// Locks are held for a moment, never over an `.await`; a mailbox's is taken under the core's.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    /// Something is wanted: the owner looks.
    pub(super) wake: Notify,
    /// The session is to stop.
    pub(super) stop: CancellationToken,
    pub(super) state: watch::Sender<State>,
}

#[derive(Debug, Default)]
pub(super) struct Core {
    pub(super) book: Book,
    pub(super) questions: Questions,
    /// Nothing is taken any more.
    pub(super) stopped: Option<StopReason>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new() -> Self {
        let (state, _) = watch::channel(State::Opening { attempt: 0 });
        Self { core: Mutex::default(), wake: Notify::new(), stop: CancellationToken::new(), state }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every subscription and question; what comes later ends at once. The state is the caller's to set.
    pub(super) fn end(&self, reason: StopReason) {
        let mut core = self.lock();
        if core.stopped.is_none() {
            core.stopped = Some(reason);
            core.questions.clear();
            core.book.clear(CLOSED, &closed(reason));
        }
    }
}

/// The code of an end that comes from here.
pub(super) const CLOSED: &str = "CLOSED";

pub(super) fn closed(reason: StopReason) -> String {
    format!("the session has stopped: {}", reason.word())
}
