//! hyper's timer for heads, kept from one to the next.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;

#[allow(clippy::disallowed_types, reason = "hyper's traits have it; it is made of tokio's and becomes one")]
type StdInstant = std::time::Instant;

/// The timer of one connection. hyper makes and drops a wait for each head: they share one [`Clock`], and there is one
/// at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadTimer {
    clock: Arc<Mutex<Clock>>,
}

struct Wait {
    clock: Arc<Mutex<Clock>>,
    due: Instant,
}

// === impl HeadTimer ===

impl HeadTimer {
    fn until(&self, due: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Wait { clock: self.clock.clone(), due })
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

// === impl Wait ===

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Its connection's task alone comes here.
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.poll_at(cx, self.due)
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
