//! Whether an address is worth a try, judged by what happened to the requests before, and by checks.

pub(crate) mod check;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Gauge;
use tokio::time::Instant;

use crate::config::UpstreamConfig;

/// What is known about one address.
pub(crate) struct Health {
    state: Mutex<State>,
    /// Nothing is known against it: the common case, in which nobody takes the lock.
    quiet: AtomicBool,
    failures: u32,
    server_errors: Option<u32>,
    base: Duration,
    max: Duration,
    /// How long the one request that tries a failing address may take before another one tries it too.
    probe: Duration,
    slow_start: Option<Duration>,
    /// How many addresses of the upstream are out.
    out: Gauge,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// Answers of 5xx since the last good one.
    server_errors: u32,
    /// How often in a row it was passed over.
    rounds: u32,
    /// Passed over until then. `None`: it is fine.
    until: Option<Instant>,
    /// Since when it gets requests, while it gets less than its share.
    since: Option<Instant>,
    /// Checks in a row that were unlike the one before them.
    unlike: u32,
    /// What checks say.
    unhealthy: bool,
}

/// What [`Health::claim`] says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    Up,
    /// It failed, its time is over, and the caller is the one who tries it.
    Probe,
    Down(Instant),
    /// Checks are against it, which will find out when it is back.
    Unhealthy(Instant),
}

/// How a request has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// There was no connection: one is enough, and certain.
    Unreachable,
    /// It had the request, and did not answer well.
    Unanswered,
    /// It answered 5xx.
    ServerError,
}

/// The least share that an address gets that has just come: without any, its start would never end.
const FIRST_SHARE: f64 = 0.1;

// === impl Health ===

impl Health {
    pub(crate) fn new(config: &UpstreamConfig, out: &Gauge) -> Self {
        let since = config.slow_start.map(|_| Instant::now());
        Self {
            quiet: AtomicBool::new(since.is_none()),
            state: Mutex::new(State { since, ..State::default() }),
            failures: config.failures.max(1),
            server_errors: config.server_errors,
            base: config.avoid,
            max: config.avoid_max,
            probe: config.connect_timeout,
            slow_start: config.slow_start,
            out: out.clone(),
        }
    }

    pub(crate) fn out(&self) -> &Gauge {
        &self.out
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_quiet() || !self.lock().is_out()
    }

    /// Whether nothing at all is known against it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }

    /// Whether a request may go there. A [`Claim::Probe`] is given to one caller at a time, and only if it `may_try`.
    pub(crate) fn claim(&self, may_try: bool) -> Claim {
        if self.is_quiet() {
            return Claim::Up;
        }
        let mut state = self.lock();
        let now = Instant::now();
        if state.unhealthy {
            // Checks find out when it is back. Where nothing else is left, it is the last to be asked.
            return Claim::Unhealthy(now + self.max.max(self.probe));
        }
        let Some(until) = state.until else { return Claim::Up };
        if until > now || !may_try {
            return Claim::Down(until);
        }
        state.until = Some(now + self.probe);
        Claim::Probe
    }

    /// Which part of its share it gets: all, but while it starts slowly.
    pub(crate) fn share(&self, now: Instant) -> f64 {
        let (false, Some(whole)) = (self.is_quiet(), self.slow_start) else { return 1.0 };
        let mut state = self.lock();
        let Some(since) = state.since else { return 1.0 };
        let share = now.duration_since(since).div_duration_f64(whole);
        if share < 1.0 {
            return share.max(FIRST_SHARE);
        }
        self.change(&mut state, |state| state.since = None);
        1.0
    }

    pub(crate) fn succeeded(&self) {
        if self.is_quiet() {
            return;
        }
        let back = self.slow_start.map(|_| Instant::now());
        self.change(&mut self.lock(), |state| {
            if state.until.take().is_some() {
                state.since = back;
            }
            (state.failures, state.server_errors, state.rounds) = (0, 0, 0);
        });
    }

    /// Counts a failure. Returns whether the address is passed over from now on. Unless it cannot be reached, it is only
    /// when it `may` be: when enough others are left.
    pub(crate) fn failed(&self, failure: Failure, may: bool) -> bool {
        let mut state = self.lock();
        let mut first = false;
        self.change(&mut state, |state| {
            let enough = match (failure, self.server_errors) {
                (Failure::Unreachable, _) => {
                    state.failures = state.failures.saturating_add(1);
                    true
                }
                (Failure::Unanswered, _) => {
                    state.failures = state.failures.saturating_add(1);
                    may && state.failures >= self.failures
                }
                (Failure::ServerError, None) => return,
                (Failure::ServerError, Some(limit)) => {
                    state.server_errors = state.server_errors.saturating_add(1);
                    may && state.server_errors >= limit
                }
            };
            // One that is out has failed its try: one failure is enough to go on.
            if !enough && (state.until.is_none() || failure == Failure::ServerError) {
                return;
            }
            let now = Instant::now();
            // Requests that were already on their way fail together: that is one round, not many.
            if state.until.is_some_and(|until| until > now + self.probe) {
                return;
            }
            first = state.until.is_none();
            let doubled = self.base.saturating_mul(1 << state.rounds.min(16)).min(self.max);
            state.rounds = state.rounds.saturating_add(1);
            // Jitter, so that several proxies do not try together.
            state.until = Some(now + doubled.mul_f64(rand::random_range(0.75..1.25)));
        });
        first
    }

    /// What a check has found. Returns what is new: whether the address is fine from now on, or out.
    pub(super) fn checked(&self, good: bool, healthy: u32, unhealthy: u32) -> Option<bool> {
        let mut state = self.lock();
        let back = self.slow_start.map(|_| Instant::now());
        let mut found = None;
        self.change(&mut state, |state| {
            if good != state.unhealthy {
                state.unlike = 0;
                return;
            }
            state.unlike += 1;
            if state.unlike >= if good { healthy } else { unhealthy } {
                (state.unlike, state.unhealthy) = (0, !good);
                if good {
                    state.since = back;
                }
                found = Some(good);
            }
        });
        found
    }

    /// Keeps the flag and the gauge true.
    fn change(&self, state: &mut State, change: impl FnOnce(&mut State)) {
        let before = state.is_out();
        change(state);
        match (before, state.is_out()) {
            (false, true) => self.out.increment(1.0),
            (true, false) => self.out.decrement(1.0),
            _ => {}
        }
        self.quiet.store(state.is_quiet(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        if self.lock().is_out() {
            self.out.decrement(1.0);
        }
    }
}

// === impl State ===

impl State {
    fn is_out(&self) -> bool {
        self.unhealthy || self.until.is_some()
    }

    fn is_quiet(&self) -> bool {
        !self.is_out() && self.failures == 0 && self.server_errors == 0 && self.since.is_none()
    }
}

#[cfg(test)]
mod tests;
