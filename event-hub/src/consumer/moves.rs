//! Moves to a retry or to the dead letters that do not succeed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::consumer::{PAUSE, drawn};
use crate::publish::PublishErrorKind;

/// What a consumer could not move yet, for its health.
#[derive(Debug, Default)]
pub(crate) struct Moves(Mutex<Stuck>);

#[derive(Debug, Default)]
struct Stuck {
    events: usize,
    /// What the last try of any of them was answered.
    answer: String,
}

/// The failed tries of one move. It is in the health from the first of them until this is dropped.
pub(super) struct Tries<'a> {
    moves: &'a Moves,
    /// How often it went back to its queue before.
    returns: u32,
    failed: u32,
    may_have_arrived: bool,
}

/// As long as a breaker pauses: where a broker closes the channel over each try, one more or less is no load then, and
/// what is well again is soon found so.
const LONGEST: Duration = Duration::from_secs(30);

// === impl Moves ===

impl Moves {
    /// None when there is none.
    pub(crate) fn trouble(&self) -> Option<String> {
        let stuck = self.stuck();
        let events = match stuck.events {
            0 => return None,
            1 => "an event".to_owned(),
            many => format!("{many} events"),
        };
        Some(format!("{events} could not be moved to a retry or to the dead letters: {}", stuck.answer))
    }

    fn stuck(&self) -> MutexGuard<'_, Stuck> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Tries ===

impl<'a> Tries<'a> {
    pub(super) fn of(moves: &'a Moves, returns: u32) -> Self {
        Self { moves, returns, failed: 0, may_have_arrived: false }
    }

    /// How long to wait until the next.
    pub(super) fn failed(&mut self, error: &PublishErrorKind) -> Duration {
        let mut stuck = self.moves.stuck();
        if self.failed == 0 {
            stuck.events += 1;
        }
        stuck.answer = error.to_string();
        self.failed = self.failed.saturating_add(1);
        self.may_have_arrived |= error.may_have_arrived();
        drawn(PAUSE, LONGEST, self.returns.saturating_add(self.failed))
    }

    /// Whether any of them left a copy in doubt: what later ones are answered says nothing of that one.
    pub(super) fn may_have_arrived(&self) -> bool {
        self.may_have_arrived
    }
}

impl Drop for Tries<'_> {
    fn drop(&mut self) {
        if self.failed > 0 {
            self.moves.stuck().events -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
