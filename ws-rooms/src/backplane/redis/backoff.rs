//! Pauses before a connection is made anew.

use std::time::Duration;

use tokio::time::Instant;

/// The first window. Most losses are a moment.
const FIRST: Duration = Duration::from_millis(50);
/// The longest one: as long as people wait.
const LONGEST: Duration = Duration::from_secs(2);
/// How long a connection has to stand until its loss is a new one. One that is made and fails at its first question,
/// again and again, is no success.
const STOOD: Duration = Duration::from_secs(5);

/// Draws pauses from a window that doubles with each.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    opened: Option<Instant>,
}

// === impl Backoff ===

impl Backoff {
    /// A connection stands from now on.
    pub(super) fn opened(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// It is lost, or could not be made: how long to wait before the next.
    pub(super) fn next(&mut self) -> Duration {
        self.window().mul_f64(rand::random::<f64>())
    }

    fn window(&mut self) -> Duration {
        if self.opened.take().is_some_and(|at| at.elapsed() >= STOOD) {
            self.attempts = 0;
        }
        let window = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        window
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// A connection that is made, and fails at once, is no reason to begin anew.
    #[tokio::test(start_paused = true)]
    async fn only_what_stood_begins_anew() {
        let mut backoff = Backoff::default();
        let mut windows = Vec::new();
        for _ in 0..8 {
            backoff.opened();
            advance(STOOD / 2).await;
            windows.push(backoff.window().as_millis());
        }
        assert_eq!(windows, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        backoff.opened();
        advance(STOOD).await;
        assert_eq!(backoff.window(), FIRST);
        assert_eq!(backoff.window(), 2 * FIRST);
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST);
        }
    }
}
