//! How many requests an upstream can bear at once, found out by how fast it answers.

mod cohort;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Gauge;
use tokio::time::Instant;

use crate::config::Priority;
use crate::resilience::limit::cohort::Cohort;

/// A limit for the requests that wait for their answer's head, which moves with the time that heads take.
///
/// It is the gradient of Envoy's `adaptive_concurrency` filter: after each window the limit is multiplied by how much
/// slower heads came than at best, and gets the square root of itself on top, as room for a queue. What is best is
/// forgotten after a while, and measured anew. Envoy lets three requests through at once for that; here the limit is
/// halved for a moment, and only where requests had been refused or nearly so: without a crowd, and in the beginning, all
/// requests of a moment are the measurement. Where requests fail, it goes down by a tenth a window, as AIMD has it.
#[derive(Debug)]
pub(crate) struct Limit {
    in_flight: AtomicUsize,
    /// What holds at this moment.
    now: AtomicUsize,
    /// Whether requests join a cohort. Mostly not, and then nobody takes the lock for it.
    joining: AtomicBool,
    state: Mutex<State>,
    min: f64,
    max: f64,
    gauge: Gauge,
}

/// The right to wait for an answer. Given back by dropping it.
#[derive(Debug)]
pub(crate) struct Slot {
    limit: Arc<Limit>,
    /// Of which cohort the request is.
    cohort: Option<u32>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    window: Window,
    /// Seconds: what it was when it was last measured, and less if windows were faster since. Zero: nothing is known.
    best: f64,
    best_since: Instant,
    measuring: Measuring,
    /// Who says what is best, while it is found out without a crowd.
    cohort: Option<Cohort>,
    cohorts: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Measuring {
    No,
    /// Requests of before are still there.
    Settling,
    Now,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    seconds: f64,
    answers: u32,
    failures: u32,
    /// The most requests there were at once.
    crowd: usize,
}

/// The shortest time, and the fewest answers, that a window has. Envoy's time; its answers are 50, which a small
/// service has not.
const WINDOW: Duration = Duration::from_millis(100);
const ANSWERS: u32 = 10;

/// The fewest answers that say what is best, Envoy's: the mean of a few is now and then far below what is usual.
const ANSWERS_OF_BEST: u32 = 50;

/// How much of what a faster window says is believed. One is luck, and many are not: the fastest of them all would be
/// what a mix of fast and slow requests never has again.
const BELIEVED: f64 = 0.02;

/// How much slower than at best is still as good, Envoy's.
const TOLERATED: f64 = 1.25;

/// For how long the best counts. Envoy's is 60 s; here measuring costs less.
const BEST_FOR: Duration = Duration::from_secs(30);

/// Of how many answers one is a failure when a window has failed. A few may be one address's, or one request's.
const FAILURES: u32 = 10;

/// What is left of the limit after a window that has failed. Netflix's, in their AIMD limit.
const AFTER_FAILURES: f64 = 0.9;

/// Where it starts, and what it never goes below: what one client with a few tabs has at once must not be refused
/// because of a slow answer.
const START: f64 = 64.0;
const MIN: usize = 16;

// === impl Limit ===

impl Limit {
    /// A limit that never is above `max`.
    pub(crate) fn new(max: usize, gauge: Gauge) -> Arc<Self> {
        let (min, max) = (float(MIN.min(max)), float(max));
        let limit = START.clamp(min, max);
        let now = Instant::now();
        let state = State {
            limit,
            window: Window::new(now),
            best: 0.0,
            best_since: now,
            measuring: Measuring::No,
            cohort: Some(Cohort::new(0, now)),
            cohorts: 1,
        };
        gauge.set(limit);
        Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            now: AtomicUsize::new(whole(limit)),
            joining: AtomicBool::new(true),
            state: Mutex::new(state),
            min,
            max,
            gauge,
        })
    }

    /// A slot for a request, unless those of its priority have all that they may have.
    pub(crate) fn admit(self: &Arc<Self>, priority: Priority) -> Option<Slot> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        // From here on it is given back by dropping it.
        let mut slot = Slot { limit: self.clone(), cohort: None };
        if before >= part(self.now.load(Ordering::Relaxed), priority) {
            return None;
        }
        if self.joining.load(Ordering::Relaxed) {
            slot.cohort = self.join();
        }
        Some(slot)
    }

    /// The cohort that a request is of which begins now.
    fn join(&self) -> Option<u32> {
        let mut state = self.lock();
        let number = state.cohort.as_mut().and_then(|cohort| {
            let joins = cohort.join(Instant::now(), WINDOW, ANSWERS_OF_BEST);
            joins.then(|| cohort.number())
        });
        self.joining.store(number.is_some(), Ordering::Relaxed);
        number
    }

    /// A request of this cohort has ended.
    fn left(&self, number: u32) {
        let mut state = self.lock();
        if let Some(cohort) = state.cohort.as_mut().filter(|cohort| cohort.number() == number) {
            cohort.left();
            self.found_out(&mut state, Instant::now());
        }
    }

    /// Takes over what the cohort says, once it does.
    fn found_out(&self, state: &mut State, now: Instant) {
        let Some(cohort) = state.cohort.take_if(|cohort| cohort.is_over(now)) else { return };
        match cohort.mean() {
            // Zero is what is not known.
            Some(mean) => (state.best, state.best_since) = (mean.max(f64::MIN_POSITIVE), now),
            // None of it was answered: the next one may be.
            None => self.find_out(state, now),
        }
    }

    /// Begins to find out what is best.
    fn find_out(&self, state: &mut State, now: Instant) {
        state.cohort = Some(Cohort::new(state.cohorts, now));
        state.cohorts = state.cohorts.wrapping_add(1);
        self.joining.store(true, Ordering::Relaxed);
    }

    fn ended(&self, took: Option<Duration>, cohort: Option<u32>) {
        let mut state = self.lock();
        let now = Instant::now();
        if let Some(cohort) = state.cohort.as_mut().filter(|of| Some(of.number()) == cohort) {
            if let Some(took) = took {
                cohort.answered(took);
            }
            // ORDER: before it is found out what it says, or it would be one of those that are late, too.
            cohort.left();
        }
        self.found_out(&mut state, now);
        let needed = if state.measuring == Measuring::Now { ANSWERS_OF_BEST } else { ANSWERS };
        let window = &mut state.window;
        window.crowd = window.crowd.max(self.in_flight.load(Ordering::Relaxed));
        match took {
            Some(took) => {
                window.answers += 1;
                window.seconds += took.as_secs_f64();
            }
            None => window.failures += 1,
        }
        let old = now.duration_since(window.since) >= WINDOW;
        let failing = window.failures > 0 && window.answers + window.failures >= ANSWERS;
        if !old || (window.answers < needed && !failing) {
            return;
        }
        let window = std::mem::replace(&mut state.window, Window::new(now));
        state.limit = self.next(&mut state, &window, now).clamp(self.min, self.max);
        let holds = match state.measuring {
            Measuring::No => state.limit,
            Measuring::Settling | Measuring::Now => (state.limit / 2.0).max(self.min),
        };
        self.now.store(whole(holds), Ordering::Relaxed);
        self.gauge.set(holds);
    }

    /// The limit after a window.
    fn next(&self, state: &mut State, window: &Window, now: Instant) -> f64 {
        if window.failures * FAILURES >= window.answers + window.failures {
            state.measuring = Measuring::No;
            return state.limit * AFTER_FAILURES;
        }
        if state.best == 0.0 {
            // Nobody knows yet whether that is slow.
            return state.limit;
        }
        let mean = window.seconds / f64::from(window.answers.max(1));
        let crowded = float(window.crowd) * 2.0 >= state.limit;
        match state.measuring {
            Measuring::Settling => {
                state.measuring = Measuring::Now;
                return state.limit;
            }
            Measuring::Now => {
                (state.best, state.best_since, state.measuring) = (mean, now, Measuring::No);
                return state.limit;
            }
            Measuring::No if now.duration_since(state.best_since) >= BEST_FOR => {
                if crowded {
                    // What a cohort would say by now is about the crowd.
                    state.cohort = None;
                    state.measuring = Measuring::Settling;
                    return state.limit;
                }
                if state.cohort.is_none() {
                    self.find_out(state, now);
                }
            }
            Measuring::No => {}
        }
        if mean < state.best {
            state.best = (mean - state.best).mul_add(BELIEVED, state.best);
        }
        if !crowded {
            // What nobody has tried to use was not tried out.
            return state.limit;
        }
        let gradient = (TOLERATED * state.best / mean.max(f64::MIN_POSITIVE)).clamp(0.5, 2.0);
        state.limit.mul_add(gradient, state.limit.sqrt())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Slot ===

impl Slot {
    /// The head of an answer has come after `took`.
    pub(crate) fn answered(mut self, took: Duration) {
        self.limit.ended(Some(took), self.cohort.take());
    }

    /// There was no answer, or one that says that there are too many.
    pub(crate) fn failed(mut self) {
        self.limit.ended(None, self.cohort.take());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.limit.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(number) = self.cohort {
            self.limit.left(number);
        }
    }
}

// === impl Window ===

impl Window {
    fn new(since: Instant) -> Self {
        Self { since, seconds: 0.0, answers: 0, failures: 0, crowd: 0 }
    }
}

/// What requests of a priority may have of a limit. The rest is for those above, however many of these come.
fn part(limit: usize, priority: Priority) -> usize {
    let percent = match priority {
        Priority::Normal => 80,
        Priority::High => 90,
        Priority::Critical => 100,
    };
    (limit * percent / 100).max(1)
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// INVARIANT: a limit is between one and what a `u32` holds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
fn whole(limit: f64) -> usize {
    limit as usize
}

#[cfg(test)]
mod tests;
