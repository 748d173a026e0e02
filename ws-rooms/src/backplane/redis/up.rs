//! Which of the node's connections stand.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A connection that rooms need. The one that says who is there is none of them: rooms go on without it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Task {
    /// The one that listens and reads.
    Reader,
    /// The one that publishes.
    Writer,
    /// The one that hears of revocations, and has read what there is of them.
    Revocations,
}

/// Since when each of them is away.
#[derive(Debug)]
pub(super) struct Up {
    away: Mutex<Away>,
}

#[derive(Debug)]
struct Away {
    since: [Option<Instant>; 3],
    /// All of them have stood at once.
    has_been_up: bool,
}

// === impl Up ===

impl Up {
    /// None of them is there yet.
    pub(super) fn new() -> Self {
        metrics::gauge!("ws.backplane.up").set(0.0);
        Self { away: Mutex::new(Away { since: [Some(Instant::now()); 3], has_been_up: false }) }
    }

    /// Says whether that is news.
    pub(super) fn set(&self, task: Task, up: bool) -> bool {
        let mut away = self.lock();
        let since = &mut away.since[task as usize];
        let news = since.is_none() != up;
        *since = if up { None } else { since.or_else(|| Some(Instant::now())) };
        let all = away.since.iter().all(Option::is_none);
        away.has_been_up |= all;
        // ORDER: under the lock, or the gauge would keep what was true before.
        metrics::gauge!("ws.backplane.up").set(f64::from(u8::from(all)));
        news
    }

    /// Whether all of them stand, or stood a moment ago.
    pub(super) fn is_up(&self, patience: Duration) -> bool {
        let away = self.lock();
        away.has_been_up && away.is_short(patience)
    }

    /// Whether somebody has waited for one of them in vain for so long.
    pub(super) fn is_given_up(&self, patience: Duration) -> bool {
        !self.lock().is_short(patience)
    }

    fn lock(&self) -> MutexGuard<'_, Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Away ===

impl Away {
    fn is_short(&self, patience: Duration) -> bool {
        self.since.iter().flatten().all(|since| since.elapsed() < patience)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_of_them_counts() {
        const PATIENCE: Duration = Duration::from_secs(2);
        let up = Up::new();
        for task in [Task::Reader, Task::Writer, Task::Revocations] {
            assert!(!up.is_up(PATIENCE), "it has not been there yet");
            assert!(!up.is_given_up(PATIENCE), "and somebody may wait");
            assert!(up.set(task, true));
            assert!(!up.set(task, true), "no news");
        }
        for task in [Task::Reader, Task::Writer, Task::Revocations] {
            assert!(up.is_up(PATIENCE));
            assert!(up.set(task, false));
            advance(PATIENCE / 2).await;
            assert!(!up.set(task, false), "away since then");
            assert!(up.is_up(PATIENCE), "for a moment");
            advance(PATIENCE / 2).await;
            assert!(!up.is_up(PATIENCE) && up.is_given_up(PATIENCE));
            up.set(task, true);
        }
    }
}
