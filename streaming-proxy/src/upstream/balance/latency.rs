//! How fast an address answers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The peaks of an address's answer times, forgotten with time: Finagle's peak EWMA.
///
/// A slow answer counts at once and in full, faster ones bit by bit, and after a while without any it is as if nothing
/// had been: so an address that was slow is tried again.
#[derive(Debug)]
pub(crate) struct Latency {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Seconds. Zero: nothing is known.
    peak: f64,
    at: Instant,
}

/// In seconds: after this time two thirds of what was are forgotten. Finagle's, and linkerd's.
const DECAY: f64 = 10.0;

/// In seconds: what an address counts as that has requests and has not answered any yet. It gets the next one when its
/// first is answered, or when the others are really slow.
const UNKNOWN: f64 = 1.0;

// === impl Latency ===

impl Latency {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { peak: 0.0, at: Instant::now() }) }
    }

    /// An answer took so long.
    pub(crate) fn answered(&self, took: Duration) {
        let mut state = self.lock();
        let (now, took) = (Instant::now(), took.as_secs_f64());
        let kept = weight(now.duration_since(state.at));
        state.peak = if took > state.peak { took } else { state.peak.mul_add(kept, took * (1.0 - kept)) };
        state.at = now;
    }

    /// An answer takes at least so long: it has not come, or was an error, which is fast and no reason to go there.
    pub(crate) fn at_least(&self, took: Duration) {
        let mut state = self.lock();
        let now = Instant::now();
        let forgotten = state.peak * weight(now.duration_since(state.at));
        if took.as_secs_f64() > forgotten {
            (state.peak, state.at) = (took.as_secs_f64(), now);
        }
    }

    /// How long one more request would take, with so many there.
    pub(crate) fn cost(&self, now: Instant, load: usize) -> f64 {
        let load = u32::try_from(load).map_or(f64::INFINITY, f64::from);
        let peak = {
            let state = self.lock();
            state.peak * weight(now.duration_since(state.at))
        };
        match (peak, load) {
            (0.0, 0.0) => 0.0,
            (0.0, load) => UNKNOWN * (load + 1.0),
            (peak, load) => peak * (load + 1.0),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of something so old.
fn weight(age: Duration) -> f64 {
    (-age.as_secs_f64() / DECAY).exp()
}

#[cfg(test)]
mod tests;
