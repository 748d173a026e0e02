//! How much a connection may send.

use tokio::time::Instant;

/// A bucket that fills by so much a second.
pub(super) struct Pace {
    per_second: f64,
    holds: f64,
    left: f64,
    at: Instant,
}

// === impl Pace ===

impl Pace {
    /// A full bucket, which holds this much.
    pub(super) fn new(per_second: u32, holds: f64) -> Self {
        Self { per_second: f64::from(per_second.max(1)), holds, left: holds, at: Instant::now() }
    }

    /// A full bucket, which holds what comes in a second.
    pub(super) fn of_a_second(per_second: u32) -> Self {
        Self::new(per_second, f64::from(per_second.max(1)))
    }

    /// Whether so much more is within the limit.
    pub(super) fn allows(&mut self, cost: f64) -> bool {
        self.fill();
        if self.left < cost {
            return false;
        }
        self.left -= cost;
        true
    }

    /// How many of so many more are within the limit.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers no larger than a read buffer, and never below zero"
    )]
    pub(super) fn allows_of(&mut self, count: usize) -> usize {
        self.fill();
        let within = self.left.min(count as f64).floor();
        self.left -= within;
        within as usize
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + earned).min(self.holds);
    }
}
