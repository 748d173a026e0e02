//! Whether too much waits, or for too long.

use std::time::Duration;

use crate::outbox::RelayConfig;

/// On at a threshold, off at half of it, so that it does not flutter.
#[derive(Debug)]
pub(crate) struct Alarm {
    rows: Option<u64>,
    age: Option<Duration>,
    on: bool,
}

// === impl Alarm ===

impl Alarm {
    pub(crate) fn new(config: &RelayConfig) -> Self {
        Self { rows: config.alarm_rows, age: config.alarm_age, on: false }
    }

    pub(crate) fn rows(&self) -> Option<u64> {
        self.rows
    }

    pub(crate) fn on(&self) -> bool {
        self.on
    }

    /// Looks at new figures; whether the alarm changed.
    pub(crate) fn look(&mut self, waiting: u64, oldest: Option<Duration>) -> bool {
        let (rows, age) = (self.rows.map(|rows| rows.max(1)), self.age);
        let oldest = oldest.unwrap_or_default();
        let on = if self.on {
            rows.is_some_and(|rows| waiting > rows / 2) || age.is_some_and(|age| oldest > age / 2)
        } else {
            rows.is_some_and(|rows| waiting >= rows) || age.is_some_and(|age| !age.is_zero() && oldest >= age)
        };
        std::mem::replace(&mut self.on, on) != on
    }
}

#[cfg(test)]
mod tests;
