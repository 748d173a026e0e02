//! A bounded line of work for several hands.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A bounded line, first in, first out. Clones are the same line; several may take from it.
///
/// Of those who wait for something to do, one is woken, and wakes the next when it finds more than it takes: as
/// many hands as there is work for, and no thundering herd.
#[derive(Debug)]
pub(crate) struct Line<T>(Arc<Shared<T>>);

/// The end that fills a line. The line is closed with it.
#[derive(Debug)]
pub(crate) struct Inlet<T>(Line<T>);

/// Why something was not put into the line.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Refused<T> {
    Full(T),
    Closed(T),
}

#[derive(Debug)]
struct Shared<T> {
    capacity: usize,
    inner: Mutex<Inner<T>>,
    /// Wakes one of those who wait for something to do.
    some: Notify,
    /// Wakes the one that waits for room.
    room: Notify,
    /// Wakes whoever finds more hands.
    short: Notify,
    over: CancellationToken,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    /// How many wait for something to do.
    idle: usize,
    /// Whether someone would find more hands if these are not enough.
    hiring: bool,
    closed: bool,
}

/// One that waits for something to do.
struct Idle<'a, T>(&'a Shared<T>);

/// Whom to wake, once the lock is free.
#[derive(Clone, Copy)]
enum Wake {
    Nobody,
    Idle,
    Short,
}

// === impl Line ===

impl<T> Line<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Inner { items: VecDeque::new(), idle: 0, hiring: true, closed: false };
        Self(Arc::new(Shared {
            capacity: capacity.max(1),
            inner: Mutex::new(inner),
            some: Notify::new(),
            room: Notify::new(),
            short: Notify::new(),
            over: CancellationToken::new(),
        }))
    }

    pub(crate) fn try_push(&self, item: T) -> Result<(), Refused<T>> {
        let wake = {
            let mut inner = self.0.inner();
            if inner.closed {
                return Err(Refused::Closed(item));
            }
            if inner.items.len() >= self.0.capacity {
                return Err(Refused::Full(item));
            }
            inner.items.push_back(item);
            inner.wake()
        };
        self.0.tell(wake);
        Ok(())
    }

    /// Puts in as many as there is room for, in order; the rest stays. False when the line is closed.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) -> bool {
        let wake = {
            let mut inner = self.0.inner();
            if inner.closed {
                return false;
            }
            let room = self.0.capacity.saturating_sub(inner.items.len()).min(items.len());
            inner.items.extend(items.drain(..room));
            if room == 0 { Wake::Nobody } else { inner.wake() }
        };
        self.0.tell(wake);
        true
    }

    /// Puts one in when there is room; gives it back when the line is closed.
    ///
    /// # Cancel safety
    ///
    /// When dropped it has not been put in.
    pub(crate) async fn push(&self, item: T) -> Result<(), T> {
        let mut item = item;
        loop {
            self.room().await;
            match self.try_push(item) {
                Ok(()) => return Ok(()),
                Err(Refused::Closed(back)) => return Err(back),
                Err(Refused::Full(back)) => item = back,
            }
        }
    }

    /// Waits until there is room, or the line is closed. One at a time may wait.
    pub(crate) async fn room(&self) {
        loop {
            // ORDER: listen first, then look.
            let room = self.0.room.notified();
            {
                let inner = self.0.inner();
                if inner.closed || inner.items.len() < self.0.capacity {
                    return;
                }
            }
            room.await;
        }
    }

    pub(crate) fn try_pop(&self) -> Option<T> {
        self.0.take(&mut VecDeque::pop_front).0
    }

    /// The next. None when the line is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// When dropped nothing has been taken.
    pub(crate) async fn pop(&self) -> Option<T> {
        self.0.taken(VecDeque::pop_front).await
    }

    /// The next ones, `most` at most, behind what is in `into`. Zero when the line is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// When dropped nothing has been taken.
    pub(crate) async fn pop_many(&self, into: &mut Vec<T>, most: usize) -> usize {
        let take = |items: &mut VecDeque<T>| {
            let count = items.len().min(most);
            into.extend(items.drain(..count));
            (count > 0).then_some(count)
        };
        self.0.taken(take).await.unwrap_or(0)
    }

    /// Waits until there is more to do than hands to do it.
    pub(crate) async fn short(&self) {
        self.0.short.notified().await;
    }

    /// There will be no more hands.
    pub(crate) fn enough(&self) {
        self.0.inner().hiring = false;
    }

    /// Waits until the line is closed.
    pub(crate) async fn closed(&self) {
        self.0.over.cancelled().await;
    }

    /// Takes nothing more in. What is in it stays.
    pub(crate) fn close(&self) {
        self.0.inner().closed = true;
        self.0.some.notify_waiters();
        self.0.room.notify_one();
        self.0.over.cancel();
    }

    /// Forgets what is in it.
    pub(crate) fn clear(&self) {
        let items = std::mem::take(&mut self.0.inner().items);
        self.0.room.notify_one();
        drop(items);
    }

    #[cfg(any(test, feature = "postgres", feature = "sqlite"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.inner().items.is_empty()
    }
}

impl<T> Clone for Line<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// === impl Inlet ===

impl<T> Inlet<T> {
    pub(crate) fn of(line: &Line<T>) -> Self {
        Self(line.clone())
    }
}

impl<T> Deref for Inlet<T> {
    type Target = Line<T>;

    fn deref(&self) -> &Line<T> {
        &self.0
    }
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

// === impl Shared ===

impl<T> Shared<T> {
    /// Takes something as soon as there is something. None when the line is closed and empty.
    async fn taken<R>(&self, mut take: impl FnMut(&mut VecDeque<T>) -> Option<R>) -> Option<R> {
        loop {
            // ORDER: listen first, then look.
            let woken = self.some.notified();
            let (taken, idle) = self.take(&mut take);
            let Some(_idle) = idle else { return taken };
            woken.await;
        }
    }

    /// What there is; one who finds nothing in an open line waits from now on.
    fn take<R>(
        &self,
        take: &mut impl FnMut(&mut VecDeque<T>) -> Option<R>,
    ) -> (Option<R>, Option<Idle<'_, T>>) {
        let (taken, wake, room) = {
            let mut inner = self.inner();
            let was_full = inner.items.len() >= self.capacity;
            let Some(taken) = take(&mut inner.items) else {
                if inner.closed {
                    return (None, None);
                }
                inner.idle += 1;
                return (None, Some(Idle(self)));
            };
            let wake = if inner.items.is_empty() { Wake::Nobody } else { inner.wake() };
            (taken, wake, was_full)
        };
        if room {
            self.room.notify_one();
        }
        self.tell(wake);
        (Some(taken), None)
    }

    fn tell(&self, wake: Wake) {
        match wake {
            Wake::Nobody => {}
            Wake::Idle => self.some.notify_one(),
            Wake::Short => self.short.notify_one(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        // INVARIANT: no caller's code runs under the lock, so a poisoned line is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl<T> Inner<T> {
    /// Whom to wake for what is there.
    fn wake(&self) -> Wake {
        match (self.idle, self.hiring) {
            (0, true) => Wake::Short,
            (0, false) => Wake::Nobody,
            _ => Wake::Idle,
        }
    }
}

// === impl Idle ===

impl<T> Drop for Idle<'_, T> {
    fn drop(&mut self) {
        self.0.inner().idle -= 1;
    }
}

#[cfg(test)]
mod tests;
