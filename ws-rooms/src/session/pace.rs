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
    /// A full bucket, which holds what comes in so many seconds.
    pub(super) fn new(per_second: u32, seconds: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        let holds = per_second * f64::from(seconds);
        Self { per_second, holds, left: holds, at: Instant::now() }
    }

    /// Whether so much more is within the limit.
    pub(super) fn allows(&mut self, cost: f64) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + earned).min(self.holds);
        if self.left < cost {
            return false;
        }
        self.left -= cost;
        true
    }
}
