//! The publishes that are under way, as futures of lapin's.
//!
//! Beside what a `FuturesUnordered` does, [`Flights::landed`] is a barrier: it answers when *everything* that has
//! completed so far was taken, which is what [`Books`](super::books::Books) tell returns apart by. Boxes and wakers
//! are used again: at most a window of them is ever made.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio_util::sync::ReusableBoxFuture;

pub(super) struct Flights<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
    ready: Arc<Ready>,
    /// Those of `ready` that are looked at; kept for its room.
    looking: Vec<usize>,
    /// What landed as soon as it started: not before the next barrier.
    early: Vec<(u64, T)>,
}

struct Slot<T> {
    flight: ReusableBoxFuture<'static, T>,
    number: u64,
    /// A late call of one that has landed must not poll it again.
    under_way: bool,
    call: Arc<Call>,
    waker: Waker,
}

/// Calls one slot up.
struct Call {
    slot: usize,
    called: AtomicBool,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Ready {
    slots: Mutex<Vec<usize>>,
    task: AtomicWaker,
}

// === impl Flights ===

impl<T: Send + 'static> Flights<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ready: Arc::default(),
            looking: Vec::new(),
            early: Vec::new(),
        }
    }

    /// Starts one: it is polled once before this returns.
    pub(super) fn start(&mut self, number: u64, flight: impl Future<Output = T> + Send + 'static) {
        let at = match self.free.pop() {
            Some(at) => {
                let slot = &mut self.slots[at];
                slot.number = number;
                slot.under_way = true;
                slot.flight.set(flight);
                at
            }
            None => {
                let at = self.slots.len();
                let call = Arc::new(Call {
                    slot: at,
                    called: AtomicBool::new(false),
                    ready: Arc::clone(&self.ready),
                });
                let waker = Waker::from(Arc::clone(&call));
                let flight = ReusableBoxFuture::new(flight);
                self.slots.push(Slot { flight, number, under_way: true, call, waker });
                at
            }
        };
        let early = self.poll(at);
        self.early.extend(early);
    }

    /// Takes everything that has landed by now, at least one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what was taken is in `landed`.
    pub(super) async fn landed(&mut self, landed: &mut Vec<(u64, T)>) {
        poll_fn(|cx| self.poll_landed(cx, landed)).await;
    }

    fn poll_landed(&mut self, cx: &Context<'_>, landed: &mut Vec<(u64, T)>) -> Poll<()> {
        // ORDER: before the look, or a call in between would wake nobody.
        self.ready.task.register(cx.waker());
        landed.append(&mut self.early);
        loop {
            let mut looking = std::mem::take(&mut self.looking);
            std::mem::swap(
                &mut looking,
                &mut *self.ready.slots.lock().unwrap_or_else(PoisonError::into_inner),
            );
            if looking.is_empty() {
                self.looking = looking;
                return if landed.is_empty() { Poll::Pending } else { Poll::Ready(()) };
            }
            for at in looking.drain(..) {
                landed.extend(self.poll(at));
            }
            self.looking = looking;
        }
    }

    fn poll(&mut self, at: usize) -> Option<(u64, T)> {
        let slot = &mut self.slots[at];
        if !slot.under_way {
            return None;
        }
        // ORDER: before the poll, so that a call during it counts again.
        slot.call.called.store(false, Ordering::Release);
        match slot.flight.poll(&mut Context::from_waker(&slot.waker)) {
            Poll::Ready(output) => {
                slot.under_way = false;
                self.free.push(at);
                Some((slot.number, output))
            }
            Poll::Pending => None,
        }
    }
}

// === impl Call ===

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.called.swap(true, Ordering::AcqRel) {
            self.ready.slots.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
            self.ready.task.wake();
        }
    }
}

#[cfg(test)]
mod tests;
