//! Whether a stream's client reads its answer.
//!
//! HTTP/2 has a window for each stream, so a client can leave one answer unread while its connection is alive and well:
//! the timers of the socket see nothing. hyper asks a body for its next piece when the client has taken the one before,
//! so the time from the one to the other is the client's.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

use crate::edge::MinRate;
use crate::edge::min_rate::Pace;
use crate::error::BoxError;

tokio::task_local! {
    /// That of the stream whose task this is; its body finds it here, since hyper is between the two.
    static PULSE: Arc<Pulse>;
}

/// How an answer moves on.
#[derive(Debug)]
pub(crate) struct Pulse {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when the client has had a piece to take. `None`: it waits for us.
    unread: Option<Unread>,
    pace: Option<Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Unread {
    since: Instant,
    /// Since when the wait is not in the pace yet.
    counted: Instant,
    bytes: u64,
}

pin_project! {
    /// An answer's body that tells the pulse of its stream's task about its pieces.
    pub(crate) struct Pulsing<B> {
        #[pin]
        inner: Option<B>,
        pulse: Option<Arc<Pulse>>,
    }
}

// === impl Pulse ===

impl Pulse {
    pub(crate) fn new(limit: Duration, rate: Option<MinRate>) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::new(State { unread: None, pace: rate.map(Pace::new) }) })
    }

    /// Runs a stream to its end, or until its client has left a piece unread for too long, or reads too slowly.
    pub(crate) async fn watch(self: Arc<Self>, stream: impl Future<Output = ()>) {
        let mut stream = pin!(PULSE.scope(self.clone(), stream));
        let mut timer = pin!(None);
        std::future::poll_fn(|cx| {
            if stream.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            while let Some(due) = self.due() {
                match timer.as_mut().as_pin_mut() {
                    None => timer.set(Some(sleep_until(due))),
                    // A timer that is early is left alone: most pieces are taken long before.
                    Some(timer) if timer.deadline() > due => timer.reset(due),
                    Some(_) => {}
                }
                let Some(mut running) = timer.as_mut().as_pin_mut() else { break };
                if running.as_mut().poll(cx).is_pending() {
                    break;
                }
                if self.is_over() {
                    metrics::counter!("streaming_proxy.server.refused", "reason" => "unread").increment(1);
                    tracing::debug!("a stream is reset: its client does not read");
                    return Poll::Ready(());
                }
                timer.set(None);
            }
            Poll::Pending
        })
        .await;
    }

    /// When to look again; `None` while the client owes nothing.
    fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let unread = state.unread?;
        let stalled = unread.since + self.limit;
        Some(state.pace.as_ref().map_or(stalled, |pace| stalled.min(unread.counted + pace.left())))
    }

    /// Whether the client's time is over.
    fn is_over(&self) -> bool {
        let mut state = self.lock();
        let State { unread: Some(unread), pace } = &mut *state else { return false };
        let now = Instant::now();
        let keeps_up = pace.as_mut().is_none_or(|pace| pace.keeps_up(0, now - unread.counted));
        unread.counted = now;
        unread.since + self.limit <= now || !keeps_up
    }

    /// The client has a piece to take.
    fn gave(&self, bytes: usize) {
        let now = Instant::now();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.lock().unread = Some(Unread { since: now, counted: now, bytes });
    }

    /// The client has taken what it had. False: too slowly.
    fn taken(&self) -> bool {
        let mut state = self.lock();
        let Some(unread) = state.unread.take() else { return true };
        state.pace.as_mut().is_none_or(|pace| pace.keeps_up(unread.bytes, unread.counted.elapsed()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pulsing ===

impl<B> Pulsing<B> {
    /// To be made by the task of the stream. `None` is no body, of which its head may say something.
    pub(crate) fn new(inner: Option<B>) -> Self {
        Self { inner, pulse: PULSE.try_with(Arc::clone).ok() }
    }
}

impl<B> Body for Pulsing<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        let Some(pulse) = this.pulse else { return inner.poll_frame(cx).map_err(Into::into) };
        if !pulse.taken() {
            return Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client reads too slowly",
            )
            .into())));
        }
        let polled = inner.poll_frame(cx).map_err(Into::into);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            pulse.gave(data.len());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // Nothing is said of a body that is not there: its head does.
        self.inner.as_ref().map_or_else(SizeHint::default, B::size_hint)
    }
}

#[cfg(test)]
mod tests;
