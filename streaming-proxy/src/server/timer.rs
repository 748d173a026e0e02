//! hyper's timer for heads, kept from one to the next, and the silence that it sees.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;

#[allow(clippy::disallowed_types, reason = "hyper's traits have it; it is made of tokio's and becomes one")]
type StdInstant = std::time::Instant;

/// The timer of one connection. hyper makes and drops a wait for each head: they share one [`Clock`], and there is one
/// at a time.
///
/// hyper waits for a head when a message is through on both sides, and looks at the time when it has read all that there
/// is. So a wait that lasts is a connection that lies idle, or the beginning of a head that does not go on.
#[derive(Clone)]
pub(super) struct HeadTimer {
    shared: Arc<Shared>,
}

/// The atomic is looked at with each poll of the connection, the rest when a head is waited for: all by one task.
struct Shared {
    /// How long hyper waits for a head.
    limit: Duration,
    silent: AtomicBool,
    state: Mutex<State>,
}

struct State {
    clock: Clock,
    /// When the last wait is over.
    due: Instant,
    /// Whether the next wait goes on with the last one. No silence is seen in it, so that there is one for each request.
    goes_on: bool,
}

struct Wait {
    shared: Arc<Shared>,
    /// When it is a silence, until it is one.
    silent: Option<Instant>,
    due: Instant,
}

/// How long nothing may come before a connection lies idle.
///
/// Long beside what it costs to take a connection apart and to put it together again, and short beside the time that
/// browsers keep one for nothing.
pub(super) const SILENCE: Duration = Duration::from_millis(500);

// === impl HeadTimer ===

impl HeadTimer {
    /// For heads that may take so long.
    pub(super) fn new(limit: Duration) -> Self {
        let state = State { clock: Clock::default(), due: Instant::now(), goes_on: false };
        Self { shared: Arc::new(Shared { limit, silent: AtomicBool::new(false), state: Mutex::new(state) }) }
    }

    /// Whether hyper has waited for a head for a while, and nothing came.
    pub(super) fn is_silent(&self) -> bool {
        self.shared.silent.load(Ordering::Relaxed)
    }

    /// The connection is put together again. Its next wait is what is left of the last one: to be silent for a while, or
    /// to let bytes drip in, gives nobody more time for a head.
    pub(super) fn go_on(&self) {
        self.shared.state().goes_on = true;
    }

    /// Ready when the time for a head is over, for who waits instead of hyper.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        let due = state.due;
        state.clock.poll_at(cx, due)
    }

    fn until(&self, due: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let mut state = self.shared.state();
        let goes_on = mem::take(&mut state.goes_on);
        if !goes_on {
            state.due = due;
        }
        let due = state.due;
        // A head that may not take that long is no silence.
        let silent = due.checked_sub(self.shared.limit).map(|since| since + SILENCE);
        let silent = silent.filter(|at| !goes_on && *at < due);
        Box::pin(Wait { shared: self.shared.clone(), silent, due })
    }
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.until(Instant::from_std(deadline))
    }

    fn now(&self) -> StdInstant {
        Instant::now().into_std()
    }
}

impl fmt::Debug for HeadTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadTimer").field("limit", &self.shared.limit).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Wait ===

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.shared.state();
        if let Some(silent) = this.silent {
            ready!(state.clock.poll_at(cx, silent));
            this.silent = None;
            this.shared.silent.store(true, Ordering::Relaxed);
        }
        state.clock.poll_at(cx, this.due)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.shared.silent.store(false, Ordering::Relaxed);
    }
}

impl hyper::rt::Sleep for Wait {}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("due", &self.due).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
