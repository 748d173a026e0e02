//! Whether an address is worth a try, judged by what happened to the requests before.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::UpstreamConfig;

/// What is known about one address.
#[derive(Debug)]
pub(crate) struct Health {
    state: Mutex<State>,
    threshold: u32,
    base: Duration,
    max: Duration,
    /// How long the one request that tries a failing address may take before another one tries it too.
    probe: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// How often in a row it was passed over.
    rounds: u32,
    /// Passed over until then. `None`: it is fine.
    until: Option<Instant>,
}

/// What [`Health::claim`] says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    Up,
    /// It failed, its time is over, and the caller is the one who tries it.
    Probe,
    Down(Instant),
}

// === impl Health ===

impl Health {
    pub(crate) fn new(config: &UpstreamConfig) -> Self {
        Self {
            state: Mutex::default(),
            threshold: config.failures.max(1),
            base: config.avoid,
            max: config.avoid_max,
            probe: config.connect_timeout,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.lock().until.is_none()
    }

    /// Whether a request may go there. A [`Claim::Probe`] is given to one caller at a time, and only if it `may_try`.
    pub(crate) fn claim(&self, may_try: bool) -> Claim {
        let mut state = self.lock();
        let Some(until) = state.until else { return Claim::Up };
        let now = Instant::now();
        if until > now || !may_try {
            return Claim::Down(until);
        }
        state.until = Some(now + self.probe);
        Claim::Probe
    }

    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        if state.failures != 0 || state.until.is_some() {
            *state = State::default();
        }
    }

    /// Counts a failure; `at_once` when one is enough. Returns whether the address is passed over from now on.
    pub(crate) fn failed(&self, at_once: bool) -> bool {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if !at_once && state.failures < self.threshold && state.until.is_none() {
            return false;
        }
        let now = Instant::now();
        // Requests that were already on their way fail together: that is one round, not many.
        if state.until.is_some_and(|until| until > now + self.probe) {
            return false;
        }
        let first = state.until.is_none();
        let doubled = self.base.saturating_mul(1 << state.rounds.min(16)).min(self.max);
        state.rounds = state.rounds.saturating_add(1);
        // Jitter, so that several proxies do not try together.
        state.until = Some(now + doubled.mul_f64(rand::random_range(0.75..1.25)));
        first
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
