//! A timer that is kept from one wait to the next.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// A coarse timer for waits that nearly always end before their time.
///
/// To arm a timer and to disarm it costs more than all else that is done for a wait. So nobody disarms this one: it goes
/// off once for many waits, early, and is armed anew if someone still waits then.
#[derive(Default)]
pub(crate) struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Clock ===

impl Clock {
    /// Ready at `due`, and not before. Another `due` the next time is another wait.
    pub(crate) fn poll_at(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        // One that was armed for an earlier time may go off for nothing; one for a later time would be late.
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
