//! How slow a client may be.

use std::time::Duration;

/// A number of bytes a second that must be reached on average over a time. What counts is only the time in which this
/// side waits for the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MinRate {
    /// Bytes a second. Zero is reached by everyone.
    pub bytes: u32,
    /// The time over which they are counted, and so the longest silence of a client that was slow before. At least a
    /// millisecond.
    pub window: Duration,
}

/// How a client does, window after window.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: MinRate,
    /// In this window.
    waited: Duration,
    moved: u64,
}

// === impl MinRate ===

impl MinRate {
    /// So many bytes a second, over this time.
    #[must_use]
    pub fn new(bytes: u32, window: Duration) -> Self {
        Self { bytes, window }
    }

    /// What must move in one window.
    fn needed(self) -> u64 {
        let needed = u128::from(self.bytes) * self.window.as_millis() / 1000;
        u64::try_from(needed).unwrap_or(u64::MAX)
    }
}

impl Default for MinRate {
    /// 240 bytes a second over a minute: what a modem of 2,400 bit/s did, which is Kestrel's measure too. The minute is
    /// nginx's patience with silence.
    fn default() -> Self {
        Self::new(240, Duration::from_secs(60))
    }
}

// === impl Pace ===

impl Pace {
    pub(crate) fn new(mut rate: MinRate) -> Self {
        // A window without a length would be over with each look.
        rate.window = rate.window.max(Duration::from_millis(1));
        Self { rate, waited: Duration::ZERO, moved: 0 }
    }

    /// How much longer to wait in this window.
    pub(crate) fn left(&self) -> Duration {
        self.rate.window.saturating_sub(self.waited)
    }

    /// So many bytes moved, after a wait of `waited`. False: a window is over in which it were too few.
    #[must_use]
    pub(crate) fn keeps_up(&mut self, bytes: u64, waited: Duration) -> bool {
        self.moved = self.moved.saturating_add(bytes);
        self.waited += waited;
        if self.waited < self.rate.window {
            return true;
        }
        let keeps_up = self.moved >= self.rate.needed();
        *self = Self::new(self.rate);
        keeps_up
    }
}

#[cfg(test)]
mod tests;
