//! The breaker: whether a consumer may try its next event, or pauses.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{Breaker, Trip};
use crate::consumer::drawn;
use crate::health::BreakerState;

/// Every try passes here.
pub(crate) struct Gate {
    breaker: Option<Breaker>,
    name: String,
    gauge: metrics::Gauge,
    /// Whether tries must wait: a look that costs nothing while all is well.
    shut: AtomicBool,
    /// Failed tries in a row.
    row: AtomicU32,
    inner: Mutex<Inner>,
    /// Who tries next while it is shut, in order of arrival.
    turn: Semaphore,
}

struct Inner {
    state: State,
    /// How many pauses there were in a row.
    pauses: u32,
    /// Whether each of the last tries failed, when a share counts.
    last: VecDeque<bool>,
}

#[derive(Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// What waiting at the gate came to.
pub(super) enum Entry<'a> {
    Pass(Pass<'a>),
    /// It waited for as long as it may.
    Late,
    Stopped,
}

/// The right to one try. One that ends without a report leaves everything as it was.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    probe: Option<SemaphorePermit<'a>>,
}

/// How a try ended, as far as the breaker cares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tried {
    Well,
    /// The consumer may be ill.
    Badly,
    /// The consumer is ill: somebody knows.
    Hopeless,
    /// It says nothing about the consumer.
    Neither,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(breaker: Option<Breaker>, name: String, gauge: metrics::Gauge) -> Self {
        gauge.set(0.0);
        Self {
            breaker,
            name,
            gauge,
            shut: AtomicBool::new(false),
            row: AtomicU32::new(0),
            inner: Mutex::new(Inner { state: State::Closed, pauses: 0, last: VecDeque::new() }),
            turn: Semaphore::new(1),
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.inner().state {
            State::Closed => BreakerState::Closed,
            State::Open { until } if until > Instant::now() => BreakerState::Open,
            // The next delivery is tried as soon as it comes.
            State::Open { .. } | State::Probing => BreakerState::HalfOpen,
        }
    }

    /// Waits for the right to one try, until `late` at most.
    pub(super) async fn pass(&self, late: Option<Instant>, stop: &CancellationToken) -> Entry<'_> {
        if !self.shut.load(Ordering::Acquire) {
            return Entry::Pass(Pass { gate: self, probe: None });
        }
        let too_late = async {
            match late {
                Some(late) => sleep_until(late).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Entry::Stopped,
            pass = self.probe() => Entry::Pass(pass),
            () = too_late => Entry::Late,
        }
    }

    /// How long the pause will last.
    pub(super) fn pause_left(&self) -> Duration {
        match self.inner().state {
            State::Open { until } => until.saturating_duration_since(Instant::now()),
            State::Closed | State::Probing => Duration::ZERO,
        }
    }

    async fn probe(&self) -> Pass<'_> {
        // INVARIANT: whoever has the turn is the only one to change an open state.
        let turn = self.turn.acquire().await.ok();
        let until = match self.inner().state {
            State::Closed => return Pass { gate: self, probe: None },
            State::Open { until } => until,
            State::Probing => Instant::now(),
        };
        sleep_until(until).await;
        self.inner().state = State::Probing;
        Pass { gate: self, probe: turn }
    }

    fn free(&self, tried: Tried) {
        let Some(breaker) = &self.breaker else { return };
        match (tried, breaker.trip) {
            (Tried::Neither, _) => {}
            (Tried::Well, Trip::Consecutive(_)) => {
                if self.row.load(Ordering::Relaxed) != 0 {
                    self.row.store(0, Ordering::Relaxed);
                }
            }
            (Tried::Badly, Trip::Consecutive(most)) => {
                if self.row.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= most {
                    self.open(breaker, self.inner());
                }
            }
            (Tried::Well | Tried::Badly, Trip::Share { failed, of }) => {
                let mut inner = self.inner();
                let most = usize::try_from(of).unwrap_or(usize::MAX);
                if inner.last.len() >= most {
                    inner.last.pop_front();
                }
                inner.last.push_back(tried == Tried::Badly);
                let bad = inner.last.iter().filter(|failed| **failed).count();
                #[allow(clippy::cast_precision_loss, reason = "some hundreds of tries")]
                if inner.last.len() == most && bad as f64 >= failed * most as f64 {
                    self.open(breaker, inner);
                }
            }
            (Tried::Hopeless, _) => self.open(breaker, self.inner()),
        }
    }

    /// What began before the gate shut says nothing new about it.
    fn open(&self, breaker: &Breaker, mut inner: MutexGuard<'_, Inner>) {
        if matches!(inner.state, State::Closed) {
            self.pause(breaker, &mut inner);
        }
    }

    fn pause(&self, breaker: &Breaker, inner: &mut Inner) {
        inner.pauses = inner.pauses.saturating_add(1);
        let pause = drawn(breaker.first_pause, breaker.max_pause, inner.pauses);
        inner.state = State::Open { until: Instant::now() + pause };
        self.shut.store(true, Ordering::Release);
        if inner.pauses == 1 {
            self.gauge.set(1.0);
            tracing::error!(consumer = self.name, ?pause, "every event fails: the consumer pauses");
        } else {
            tracing::warn!(consumer = self.name, ?pause, "events still fail: the consumer stays paused");
        }
    }

    fn close(&self, inner: &mut Inner) {
        (inner.state, inner.pauses) = (State::Closed, 0);
        inner.last.clear();
        self.row.store(0, Ordering::Relaxed);
        self.shut.store(false, Ordering::Release);
        self.gauge.set(0.0);
        tracing::info!(consumer = self.name, "an event was handled: the consumer goes on");
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("name", &self.name).field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.gauge.set(0.0);
    }
}

// === impl Pass ===

impl Pass<'_> {
    /// Tells how the try ended. True when it does not count, being the one that looked whether all is well again.
    pub(super) fn report(mut self, tried: Tried) -> bool {
        let gate = self.gate;
        let Some(turn) = self.probe.take() else {
            gate.free(tried);
            return false;
        };
        let mut inner = gate.inner();
        match (tried, &gate.breaker) {
            (Tried::Badly | Tried::Hopeless, Some(breaker)) => gate.pause(breaker, &mut inner),
            (Tried::Neither, _) => inner.state = State::Open { until: Instant::now() },
            (Tried::Well | Tried::Badly | Tried::Hopeless, _) => gate.close(&mut inner),
        }
        drop(inner);
        // ORDER: the next in turn finds the state that this one leaves.
        drop(turn);
        true
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe.is_some() {
            self.gate.inner().state = State::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests;
