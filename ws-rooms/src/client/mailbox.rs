//! The queue between the session and one subscription.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::update::{GapCause, Told};
use crate::protocol::RoomId;

/// Holds a bounded number of updates; when full the oldest go and their rooms hear of a gap. Who puts never waits.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Told>,
    /// The rooms of what was dropped: the gaps stand where the first of the dropped stood, before all that waits.
    behind: Vec<RoomId>,
    limit: usize,
    /// The last update is in, or was taken.
    ended: bool,
    taker: Option<Waker>,
}

// === impl Mailbox ===

impl Mailbox {
    pub(super) fn new(limit: usize) -> Self {
        let inner = Inner { waiting: VecDeque::new(), behind: Vec::new(), limit, ended: false, taker: None };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn put(&self, update: Told) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        inner.waiting.push_back(update);
        if inner.waiting.len() > inner.limit
            && let Some(dropped) = inner.waiting.pop_front()
        {
            metrics::counter!("ws.client.behind").increment(1);
            if let Some(room) = dropped.room()
                && !inner.behind.contains(room)
            {
                let room = room.clone();
                inner.behind.push(room);
            }
        }
        inner.wake();
    }

    /// Nothing follows what waits.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        inner.wake();
    }

    pub(super) fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Told>> {
        let mut inner = self.lock();
        if !inner.behind.is_empty() {
            let room = inner.behind.remove(0);
            return Poll::Ready(Some(Told::Gap { room, cause: GapCause::Behind }));
        }
        if let Some(update) = inner.waiting.pop_front() {
            return Poll::Ready(Some(update));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        if !inner.taker.as_ref().is_some_and(|taker| taker.will_wake(cx.waker())) {
            inner.taker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }
}
