//! What is said of many alike.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines of one kind: one in a while, and how many were left out before it.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    said: Option<Instant>,
    left_out: u64,
}

/// As often as figures are told: what people can read.
const PAUSE: Duration = Duration::from_secs(1);

// === impl Seldom ===

impl Seldom {
    /// How many were left out since the last one; none when this one is left out, too.
    pub(super) fn turn(&self) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.said.is_some_and(|said| now.duration_since(said) < PAUSE) {
            last.left_out += 1;
            return None;
        }
        last.said = Some(now);
        Some(std::mem::take(&mut last.left_out))
    }
}
