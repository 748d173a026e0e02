//! Bodies whose bytes are counted.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::layer::access_log::record::{Moved, Record};

pin_project! {
    /// A request's body on its way to the service behind.
    pub struct Up<B> {
        #[pin]
        inner: B,
        moved: Arc<Moved>,
    }
}

pin_project! {
    /// An answer's body on its way to the client. Its end is when the request is logged.
    pub struct Down<B> {
        // ORDER: dropped first, so that what it tells by that is known when the record is written.
        #[pin]
        inner: B,
        record: Option<Record>,
    }
}

// === impl Up ===

impl<B> Up<B> {
    pub(super) fn new(inner: B, moved: Arc<Moved>) -> Self {
        Self { inner, moved }
    }
}

impl<B: Body> Body for Up<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.moved.up.fetch_add(bytes(frame), Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for Up<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Up").field("moved", &self.moved).finish_non_exhaustive()
    }
}

// === impl Down ===

impl<B: Body> Down<B> {
    pub(super) fn new(inner: B, mut record: Option<Record>) -> Self {
        if let Some(record) = record.as_mut().filter(|_| inner.is_end_stream()) {
            record.whole();
        }
        Self { inner, record }
    }
}

impl<B: Body> Body for Down<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if let Some(record) = this.record {
            match &frame {
                Some(Ok(frame)) => {
                    record.moved().down.fetch_add(bytes(frame), Ordering::Relaxed);
                    // Who has trailers, or all that was announced, need not ask for more.
                    if frame.is_trailers() || this.inner.is_end_stream() {
                        record.whole();
                    }
                }
                Some(Err(_)) => record.broken(),
                None => record.whole(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for Down<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Down").field("record", &self.record).finish_non_exhaustive()
    }
}

fn bytes<D: Buf>(frame: &Frame<D>) -> u64 {
    frame.data_ref().map_or(0, |data| data.remaining() as u64)
}
