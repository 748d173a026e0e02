//! A client's body on its way to the upstream.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use http_body_util::LengthLimitError;
use tokio::time::Instant;

use crate::body::gate::Gate;
use crate::body::idle::Idle;
use crate::body::replay::{Reading, Replay, Room};
use crate::body::source::Source;
use crate::error::{BoxError, ErrorKind, ProxyError, Sent};
use crate::headers::trailers;

/// A client's body as hyper's client takes it. One type, so that connections can be shared.
///
/// On the heap: requests go through many hands, and most requests have no body.
pub(crate) struct Upload {
    story: Option<Box<Story>>,
}

/// A body that is not empty.
struct Story {
    source: Source,
    progress: Arc<Progress>,
    idle: Option<Idle>,
    gate: Option<Gate>,
    /// How many bytes are still to come, where that is known.
    rest: Option<u64>,
}

/// How far an [`Upload`] is, for the one who waits for the answer meanwhile.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    /// Milliseconds after `start` at which the upload last moved.
    moved: AtomicU64,
    /// The upstream could take more, and the client gives nothing.
    waits_for_client: AtomicBool,
    done: AtomicBool,
    /// What the client did wrong, if anything.
    fault: OnceLock<ErrorKind>,
}

// === impl Upload ===

impl Upload {
    pub(crate) fn empty() -> Self {
        Self { story: None }
    }

    /// The body of a request of this version.
    pub(crate) fn new<B>(body: B, version: Version) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Source::new(body, version).map_or_else(Self::empty, Self::from)
    }

    /// The same body, which can be sent again as long as what was passed on of it is not more than `max` bytes, and has
    /// `room`. An empty one can be without that.
    pub(crate) fn replayed(self, max: usize, room: &Arc<Room>) -> (Self, Option<Replay>) {
        let Some(story) = self.story else { return (self, None) };
        let (replay, reading) = Replay::new(story.source, max, room);
        let story = Box::new(Story { source: Source::Replayed(reading), ..*story });
        (Self { story: Some(story) }, Some(replay))
    }

    /// Another try's, from its start, with a story of its own.
    pub(crate) fn again(reading: Reading, idle: Option<Duration>) -> Self {
        let mut upload = Self::from(Source::Replayed(reading));
        upload.limit_idle(idle);
        upload
    }

    /// The same body, which fails when the client gives nothing for `limit`.
    pub(crate) fn limit_idle(&mut self, limit: Option<Duration>) {
        if let Some(story) = &mut self.story {
            story.idle = limit.map(Idle::new);
        }
    }

    /// The same body, of which nothing is read before the gate is open.
    pub(crate) fn behind(&mut self, gate: Gate) {
        if let Some(story) = &mut self.story {
            story.gate = Some(gate);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.story.is_none()
    }

    /// How far it is. An empty one has no story to tell.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        self.story.as_ref().map(|story| story.progress.clone())
    }
}

impl From<Source> for Upload {
    fn from(source: Source) -> Self {
        let progress = Arc::new(Progress {
            start: Instant::now(),
            moved: AtomicU64::new(0),
            waits_for_client: AtomicBool::new(false),
            done: AtomicBool::new(false),
            fault: OnceLock::new(),
        });
        let rest = source.size_hint().exact();
        Self { story: Some(Box::new(Story { source, progress, idle: None, gate: None, rest })) }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        match &mut self.story {
            Some(story) => story.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.story.as_ref().is_none_or(|story| story.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.story.as_ref().map_or(SizeHint::with_exact(0), |story| story.source.size_hint())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

// === impl Story ===

impl Story {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.poll_open(cx));
            self.gate = None;
            if let Some(idle) = &mut self.idle {
                idle.touch();
            }
        }
        let progress = &self.progress;
        match Pin::new(&mut self.source).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = clean(frame);
                progress.moved();
                if let Some(idle) = &mut self.idle {
                    idle.touch();
                }
                if let (Some(rest), Some(data)) = (&mut self.rest, frame.data_ref()) {
                    *rest = rest.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
                }
                // hyper drops a body after its trailers, and does not ask for more.
                if frame.is_trailers() || self.source.is_end_stream() {
                    progress.done.store(true, Ordering::Release);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                let error = fault(cause);
                let _ = progress.fault.set(error.kind());
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) if self.rest.is_some_and(|rest| rest > 0) => {
                // What a body of another kind makes of a stream that was reset, see `RequestBody`.
                let error =
                    ProxyError::new(ErrorKind::ClientGone).because("the body is shorter than its length");
                let _ = progress.fault.set(error.kind());
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                progress.moved();
                progress.done.store(true, Ordering::Release);
                Poll::Ready(None)
            }
            Poll::Pending => {
                progress.waits_for_client.store(true, Ordering::Release);
                if let Some(idle) = &mut self.idle {
                    ready!(idle.poll_over(cx));
                    let _ = progress.fault.set(ErrorKind::ClientTimeout);
                    return Poll::Ready(Some(Err(ProxyError::new(ErrorKind::ClientTimeout))));
                }
                Poll::Pending
            }
        }
    }
}

/// The same frame, without trailers that a client must not send.
fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut fields) => {
            trailers::clean(&mut fields);
            Frame::trailers(fields)
        }
        Err(frame) => frame,
    }
}

/// What a body's failure says about its client.
fn fault(cause: BoxError) -> ProxyError {
    let mut level = Some(&*cause as &(dyn StdError + 'static));
    let mut kind = ErrorKind::ClientBody;
    while let Some(error) = level {
        if error.is::<LengthLimitError>() {
            kind = ErrorKind::BodyTooLarge;
        } else if let Some(error) = error.downcast_ref::<ProxyError>() {
            // A layer of this crate knows.
            kind = error.kind();
        } else if is_gone(error) {
            kind = ErrorKind::ClientGone;
        }
        level = error.source();
    }
    ProxyError::new(kind).with(cause)
}

/// Whether the client has ended its connection or its stream, rather than sent what is no body.
fn is_gone(error: &(dyn StdError + 'static)) -> bool {
    #[cfg(feature = "http2")]
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        // What this side resets a stream for, a length that is not true for one, is in the frames that came.
        return error.is_io() || error.is_remote();
    }
    // Those two are what hyper calls bytes that are no body.
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
    })
}

// === impl Progress ===

impl Progress {
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    pub(crate) fn fault(&self) -> Option<ErrorKind> {
        self.fault.get().copied()
    }

    /// How much of the request was given to the connection.
    pub(crate) fn sent(&self) -> Sent {
        if self.is_done() { Sent::Fully } else { Sent::Partly }
    }

    /// Since when the upstream is the one that everyone waits for; now, while it is the client.
    pub(crate) fn upstream_owes_since(&self) -> Instant {
        if !self.is_done() && self.waits_for_client.load(Ordering::Acquire) {
            return Instant::now();
        }
        self.start + Duration::from_millis(self.moved.load(Ordering::Acquire))
    }

    fn moved(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(elapsed, Ordering::Release);
        self.waits_for_client.store(false, Ordering::Release);
    }
}

#[cfg(test)]
#[cfg(feature = "http2")]
mod tests;
