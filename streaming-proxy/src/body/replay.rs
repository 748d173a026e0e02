//! A client's body that can be sent a second time, as far as it is short.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use metrics::{counter, gauge};

use crate::body::source::Source;
use crate::error::BoxError;

/// The body of one request, for the one who may send it again. What passes is written down while there is room;
/// beyond it the body goes on, and cannot be sent again.
///
/// Nothing is read ahead: the first try has each piece as soon as it comes.
#[derive(Debug)]
pub(crate) struct Replay {
    shared: Arc<Mutex<Shared>>,
}

/// The body from its start, for one try. Only the newest reads; those before it get an error.
#[derive(Debug)]
pub(crate) struct Reading {
    shared: Arc<Mutex<Shared>>,
    /// Which try it is for.
    number: u32,
    /// How much of what is written down it has passed on.
    at: usize,
    ended: bool,
}

/// How many bytes all requests of a forwarder together may have written down.
#[derive(Debug)]
pub(crate) struct Room {
    left: AtomicUsize,
}

struct Shared {
    source: Source,
    /// Which try reads.
    number: u32,
    /// What has come. `None`: it was too much.
    written: Option<Vec<u8>>,
    trailers: Option<HeaderMap>,
    /// Nothing more will come.
    ended: bool,
    /// The request goes out no more: what was passed on may be forgotten.
    settled: bool,
    max: usize,
    room: Arc<Room>,
    /// What was taken out of `room`.
    taken: usize,
}

/// A later try reads the body now.
#[derive(Debug)]
struct Overtaken;

// === impl Replay ===

impl Replay {
    /// The body of `source`, of which up to `max` bytes are kept while there is `room`, and its first reader.
    pub(crate) fn new(source: Source, max: usize, room: &Arc<Room>) -> (Self, Reading) {
        let shared = Shared {
            ended: source.is_end_stream(),
            source,
            number: 0,
            written: Some(Vec::new()),
            trailers: None,
            settled: false,
            max,
            room: room.clone(),
            taken: 0,
        };
        let shared = Arc::new(Mutex::new(shared));
        (Self { shared: shared.clone() }, Reading { shared, number: 0, at: 0, ended: false })
    }

    /// Whether all that was passed on is still there.
    pub(crate) fn is_whole(&self) -> bool {
        lock(&self.shared).written.is_some()
    }

    /// The body from its start, if all that was passed on of it is still there.
    pub(crate) fn again(&self) -> Option<Reading> {
        let mut shared = lock(&self.shared);
        shared.written.as_ref()?;
        shared.number += 1;
        Some(Reading { shared: self.shared.clone(), number: shared.number, at: 0, ended: false })
    }
}

impl Drop for Replay {
    /// Nobody will ask for it again.
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.settled = true;
        if shared.written.as_ref().is_some_and(Vec::is_empty) {
            shared.forget();
        }
    }
}

// === impl Reading ===

impl Body for Reading {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let mut shared = lock(&this.shared);
        if shared.number != this.number {
            return Poll::Ready(Some(Err(Overtaken.into())));
        }
        if let Some(written) = &shared.written {
            let rest = written.get(this.at..).unwrap_or_default();
            if !rest.is_empty() {
                let rest = Bytes::copy_from_slice(rest);
                this.at += rest.len();
                return Poll::Ready(Some(Ok(Frame::data(rest))));
            }
            if shared.settled {
                shared.forget();
            }
        }
        if shared.ended {
            this.ended = true;
            return Poll::Ready(shared.trailers.clone().map(|fields| Ok(Frame::trailers(fields))));
        }
        let polled = Pin::new(&mut shared.source).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    shared.write_down(data);
                    this.at += data.len();
                    shared.ended = shared.source.is_end_stream();
                } else if let Some(fields) = frame.trailers_ref() {
                    shared.trailers = shared.written.is_some().then(|| fields.clone());
                    (shared.ended, this.ended) = (true, true);
                }
            }
            Poll::Ready(None) => (shared.ended, this.ended) = (true, true),
            // What broke is broken for every try.
            Poll::Ready(Some(Err(_))) => shared.forget(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        let written = shared.written.as_ref().map_or(self.at, Vec::len);
        self.ended || (shared.ended && shared.trailers.is_none() && self.at >= written)
    }

    fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        let written = shared.written.as_ref().map_or(0, |written| written.len().saturating_sub(self.at));
        let (rest, written) = (shared.source.size_hint(), u64::try_from(written).unwrap_or(u64::MAX));
        let mut hint = SizeHint::new();
        // ORDER: the upper bound may not be below the lower one, also in between.
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(written)) {
            hint.set_upper(upper);
        }
        hint.set_lower(rest.lower().saturating_add(written));
        hint
    }
}

// === impl Room ===

impl Room {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }

    fn take(&self, bytes: usize) -> bool {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_ok() {
            gauge!("streaming_proxy.replay.bytes").increment(count(bytes));
        }
        taken.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
        gauge!("streaming_proxy.replay.bytes").decrement(count(bytes));
    }
}

// === impl Shared ===

impl Shared {
    fn write_down(&mut self, data: &Bytes) {
        let Some(written) = &mut self.written else { return };
        if self.settled {
            return;
        }
        let reason = if written.len() + data.len() > self.max {
            "long"
        } else if !self.room.take(data.len()) {
            "room"
        } else {
            self.taken += data.len();
            written.extend_from_slice(data);
            return;
        };
        counter!("streaming_proxy.replay.given_up", "reason" => reason).increment(1);
        self.forget();
    }

    fn forget(&mut self) {
        self.written = None;
        if self.taken > 0 {
            self.room.give_back(std::mem::take(&mut self.taken));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("number", &self.number)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

// === impl Overtaken ===

impl fmt::Display for Overtaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is sent again elsewhere")
    }
}

impl StdError for Overtaken {}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bounded by the room, far below what a float holds exactly.
fn count(bytes: usize) -> f64 {
    u32::try_from(bytes).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests;
