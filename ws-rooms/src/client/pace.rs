//! How many messages leave in a second.

use std::time::Duration;

use tokio::time::Instant;

/// A part of what the server allows: renewals do not wait for their turn, and the two clocks differ.
const SHARE: f64 = 0.8;

/// A bucket that holds one second's messages.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    left: f64,
    at: Instant,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(server_limit: u32, now: Instant) -> Self {
        let per_second = (f64::from(server_limit) * SHARE).floor().max(1.0);
        Self { per_second, left: per_second, at: now }
    }

    /// How long it is until the next message's turn.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.left = self.per_second.min(self.left + earned);
        self.at = now;
        if self.left >= 1.0 {
            return Duration::ZERO;
        }
        // Up to the next millisecond, which is what timers count in.
        let millis = ((1.0 - self.left) / self.per_second * 1_000.0).ceil();
        Duration::from_secs_f64(millis / 1_000.0)
    }

    /// Takes a turn.
    pub(super) fn take(&mut self) {
        self.left -= 1.0;
    }
}
