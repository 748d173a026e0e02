//! Whether Redis may be asked, and what it has to be told first.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::tier::redis::Invalidation;

/// Open while Redis answers. The first failure shuts it; one probe at a time tries to open it.
#[derive(Debug)]
pub(crate) struct Gate {
    max_pause: Duration,
    max_pending: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shut: Option<Shut>,
    /// Told before anyone reads from Redis again.
    pending: HashSet<Invalidation>,
}

#[derive(Debug)]
struct Shut {
    failures: u32,
    until: Instant,
    probing: bool,
}

/// The bound of the first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

// === impl Gate ===

impl Gate {
    pub(crate) fn new(max_pause: Duration, max_pending: usize) -> Self {
        Self { max_pause, max_pending, state: Mutex::default() }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().shut.is_none()
    }

    /// True when it was open.
    pub(crate) fn shut(&self) -> bool {
        let mut state = self.lock();
        if state.shut.is_some() {
            return false;
        }
        let until = Instant::now() + self.pause(1);
        state.shut = Some(Shut { failures: 1, until, probing: false });
        true
    }

    /// Remembers what Redis has to be told, and keeps it shut until then.
    pub(crate) fn remember(&self, invalidation: Invalidation) {
        let mut state = self.lock();
        if !state.pending.contains(&Invalidation::All) {
            state.pending.insert(invalidation);
            if state.pending.len() > self.max_pending {
                // Too many to remember: everything goes, which is more than asked and never less.
                state.pending = HashSet::from([Invalidation::All]);
            }
        }
        if state.shut.is_none() {
            state.shut = Some(Shut { failures: 1, until: Instant::now(), probing: false });
        }
    }

    /// True when the caller is to probe now.
    pub(crate) fn begin_probe(&self) -> bool {
        match &mut self.lock().shut {
            Some(shut) if !shut.probing && Instant::now() >= shut.until => {
                shut.probing = true;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn probe_failed(&self) {
        if let Some(shut) = &mut self.lock().shut {
            shut.failures = shut.failures.saturating_add(1);
            shut.probing = false;
            shut.until = Instant::now() + self.pause(shut.failures);
        }
    }

    pub(crate) fn pending(&self) -> Vec<Invalidation> {
        self.lock().pending.iter().cloned().collect()
    }

    /// Opens it when nothing is pending beside what was `told`.
    pub(crate) fn open(&self, told: &[Invalidation]) -> bool {
        let mut state = self.lock();
        for invalidation in told {
            state.pending.remove(invalidation);
        }
        let done = state.pending.is_empty();
        if done {
            state.shut = None;
        }
        done
    }

    fn pause(&self, failures: u32) -> Duration {
        let bound = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.max_pause);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn key(n: usize) -> Invalidation {
        Invalidation::Key(Key::new("k", &[n.to_string()]).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_after_the_pause() {
        let gate = Gate::new(Duration::from_secs(2), 10);
        assert!(gate.is_open() && !gate.begin_probe());
        assert!(gate.shut() && !gate.shut());
        assert!(!gate.begin_probe(), "the pause is not over");
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(gate.begin_probe() && !gate.begin_probe());
        gate.probe_failed();
        for _ in 0..40 {
            tokio::time::advance(Duration::from_secs(2)).await;
            assert!(gate.begin_probe(), "no pause is longer than its bound");
            gate.probe_failed();
        }
        assert!(gate.open(&[]) && gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_when_everything_was_told() {
        let gate = Gate::new(Duration::from_secs(2), 3);
        gate.remember(key(1));
        assert!(!gate.is_open());
        let told = gate.pending();
        gate.remember(key(2));
        assert!(!gate.open(&told), "one came while the others were told");
        assert!(gate.open(&gate.pending()));
        for n in 0..9 {
            gate.remember(key(n));
        }
        assert_eq!(gate.pending(), [Invalidation::All]);
    }
}
