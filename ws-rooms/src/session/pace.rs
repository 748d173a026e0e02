//! How many messages a connection may send.

use tokio::time::Instant;

/// A bucket that holds one second's messages.
pub(crate) struct Pace {
    per_second: f64,
    left: f64,
    at: Instant,
}

// === impl Pace ===

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, left: per_second, at: Instant::now() }
    }

    /// Whether one more message is within the limit.
    pub(crate) fn allows(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + earned).min(self.per_second);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}
