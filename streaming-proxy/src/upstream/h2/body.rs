//! An upload as a stream of HTTP/2 takes it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use crate::body::upload::Upload;
use crate::upstream::h2::driver::Slot;

/// An upload that ends with its exchange: hyper goes on with it by itself, whatever became of the answer.
///
/// Its errors are [CANCEL](h2::Reason::CANCEL), which is what hyper resets the stream with. What went wrong is known to
/// whoever holds its [`Progress`](crate::body::upload::Progress).
pub(crate) struct Body {
    upload: Upload,
    /// Ready when the exchange is over; its [`Lease`](super::Lease) has the other half.
    gone: oneshot::Receiver<Infallible>,
    /// The stream is taken for as long as hyper holds this.
    _slot: Arc<Slot>,
}

// === impl Body ===

impl Body {
    pub(crate) fn new(upload: Upload, gone: oneshot::Receiver<Infallible>, slot: Arc<Slot>) -> Self {
        Self { upload, gone, _slot: slot }
    }

    pub(crate) fn into_upload(self) -> Upload {
        self.upload
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if Pin::new(&mut self.gone).poll(cx).is_ready() {
            return Poll::Ready(Some(Err(h2::Reason::CANCEL.into())));
        }
        Pin::new(&mut self.upload).poll_frame(cx).map_err(|_| h2::Reason::CANCEL.into())
    }

    fn is_end_stream(&self) -> bool {
        self.upload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.upload.size_hint()
    }
}
