//! The requests that say how fast an upstream answers at best.

use std::time::Duration;

use tokio::time::Instant;

/// All requests that begin within some time, until the last of them has ended.
///
/// What ends within some time says less: in the beginning that is what was fast, and where fast and slow requests are
/// usual, all that comes after would look like a crowd.
#[derive(Debug)]
pub(super) struct Cohort {
    number: u32,
    since: Instant,
    /// Since when nobody joins it any more.
    closed: Option<Instant>,
    begun: u32,
    ended: u32,
    answers: u32,
    seconds: f64,
}

/// How long the last ones are waited for, once nobody joins any more; then they count as if they took so long. What
/// takes longer is no answer to wait for while nothing is known: a long poll, or one that hangs.
pub(super) const LAST: Duration = Duration::from_secs(5);

// === impl Cohort ===

impl Cohort {
    pub(super) fn new(number: u32, since: Instant) -> Self {
        Self { number, since, closed: None, begun: 0, ended: 0, answers: 0, seconds: 0.0 }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Takes in a request, unless it has been open for `time` and has `enough`.
    pub(super) fn join(&mut self, now: Instant, time: Duration, enough: u32) -> bool {
        if self.begun >= enough && now.duration_since(self.since) >= time {
            self.closed.get_or_insert(now);
        }
        if self.closed.is_none() {
            self.begun = self.begun.saturating_add(1);
        }
        self.closed.is_none()
    }

    /// One of its requests has been answered.
    pub(super) fn answered(&mut self, took: Duration) {
        self.answers += 1;
        self.seconds += took.as_secs_f64();
    }

    /// One of its requests has ended, answered or not.
    pub(super) fn left(&mut self) {
        self.ended += 1;
    }

    /// Whether all that are waited for have ended.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.closed.is_some_and(|closed| self.ended >= self.begun || now.duration_since(closed) >= LAST)
    }

    /// How many seconds its answers took, as far as there were any.
    pub(super) fn mean(&self) -> Option<f64> {
        let late = self.begun.saturating_sub(self.ended);
        let count = self.answers + late;
        let seconds = f64::from(late).mul_add(LAST.as_secs_f64(), self.seconds);
        (count > 0).then(|| seconds / f64::from(count))
    }
}
