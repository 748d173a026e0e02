//! How long a client waits before it comes back (`protocol/README.md`, «Waits»).

use std::time::Duration;

use crate::protocol::Advice;

/// Nobody comes back sooner: a server that refuses at once is not asked in a loop.
const LEAST_MS: f64 = 500.0;
/// The ceiling of the first wait. It doubles with each failure in a row …
const FIRST_MS: f64 = 1_000.0;
/// … up to this, which a person still waits for.
const MOST_MS: f64 = 20_000.0;
/// A connection that lived so long was a good one: the next failure is the first again.
const STABLE: Duration = Duration::from_secs(60);
/// The longest wait a server may ask for: a wrong number must not send clients away for a day.
const LONGEST: Duration = Duration::from_secs(300);

/// Counts failures in a row, and makes waits of numbers that are drawn: full jitter, so that a herd spreads.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempt: u32,
}

// === impl Backoff ===

impl Backoff {
    /// Failures since the last connection that lived.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The wait after a connection that was open for `open_for` (`None`: it had no welcome) ended with `code`, or
    /// `None` to stay away. `drawn` is from 0 up to 1. The server's own wish counts, but never makes a second
    /// failure quicker.
    pub(super) fn next(
        &mut self,
        code: u16,
        open_for: Option<Duration>,
        retry_after: Option<Duration>,
        drawn: f64,
    ) -> Option<Duration> {
        let advice = Advice::of(code);
        if advice == Advice::StayAway {
            return None;
        }
        if open_for.is_some_and(|open_for| open_for >= STABLE) {
            self.attempt = 0;
        }
        let again = self.attempt > 0;
        let ceiling = MOST_MS.min(FIRST_MS * f64::from(2_u32.pow(self.attempt.min(10))));
        self.attempt = self.attempt.saturating_add(1);
        let delay = if advice == Advice::Reconnect && !again {
            drawn * FIRST_MS
        } else {
            LEAST_MS + drawn * (ceiling - LEAST_MS)
        };
        let delay = Duration::from_secs_f64(delay.round() / 1_000.0);
        Some(match retry_after {
            None => delay,
            Some(wish) if again => wish.min(LONGEST).max(delay),
            Some(wish) => wish.min(LONGEST),
        })
    }
}
