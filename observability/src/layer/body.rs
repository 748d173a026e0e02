//! The response's body, watched to its end.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::layer::red::Tracked;

pin_project! {
    /// A response's body; when it ends, breaks, or is dropped, its request is counted.
    pub struct HttpBody<B> {
        #[pin]
        inner: B,
        tracked: Option<Tracked>,
        // What the head has promised, minus what was sent: a server drops a body that has sent it all, without
        // asking for its end.
        remaining: Option<u64>,
    }
}

// === impl HttpBody ===

impl<B: Body> HttpBody<B> {
    /// `complete` says that nobody will read the body: the answer to a HEAD, an upgrade.
    pub(super) fn new(inner: B, mut tracked: Tracked, length: Option<u64>, complete: bool) -> Self {
        if complete || length == Some(0) || inner.is_end_stream() {
            tracked.complete();
            // Dropped here, so counted now.
            drop(tracked);
            return Self { inner, tracked: None, remaining: None };
        }
        Self { inner, tracked: Some(tracked), remaining: length }
    }
}

impl<B: Body> Body for HttpBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(tracked) = this.tracked.as_mut() else {
            return this.inner.poll_frame(cx);
        };
        tracked.polling();
        let polled = {
            let span = tracked.span.clone();
            let _entered = span.enter();
            this.inner.as_mut().poll_frame(cx)
        };
        tracked.polled();
        let over = match &polled {
            Poll::Pending => false,
            Poll::Ready(None) => {
                tracked.complete();
                true
            }
            Poll::Ready(Some(Err(_))) => {
                tracked.broken();
                true
            }
            Poll::Ready(Some(Ok(frame))) => {
                let sent = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                *this.remaining = this.remaining.map(|left| left.saturating_sub(sent));
                let over = *this.remaining == Some(0) || this.inner.is_end_stream();
                if over {
                    tracked.complete();
                }
                over
            }
        };
        if over {
            *this.tracked = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default> Default for HttpBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), tracked: None, remaining: None }
    }
}

impl<B> fmt::Debug for HttpBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpBody").field("over", &self.tracked.is_none()).finish_non_exhaustive()
    }
}
