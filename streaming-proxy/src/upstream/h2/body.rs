//! An upload as a stream of HTTP/2 takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::body::upload::Upload;
use crate::upstream::h2::driver::{Slot, Tasks};

/// An upload that ends with its exchange: hyper goes on with it by itself, whatever became of the answer.
///
/// Its errors are [CANCEL](h2::Reason::CANCEL), which is what hyper resets the stream with. What went wrong is known to
/// whoever holds its [`Progress`](crate::body::upload::Progress).
pub(crate) struct Body {
    upload: Upload,
    /// Cancelled when the exchange is over, by its [`Lease`](super::Lease), which wakes the task that sends this. Absent
    /// for an empty body, which nobody polls.
    cut: Option<CancellationToken>,
    /// Who makes that task, until this is polled for the first time.
    tasks: Option<Tasks>,
    /// The stream is taken for as long as hyper holds this.
    _slot: Arc<Slot>,
}

// === impl Body ===

impl Body {
    pub(crate) fn new(upload: Upload, slot: Arc<Slot>) -> Self {
        Self { upload, cut: None, tasks: None, _slot: slot }
    }

    /// The same, which `cut` ends.
    pub(crate) fn ended_by(self, cut: CancellationToken, tasks: Tasks) -> Self {
        Self { cut: Some(cut), tasks: Some(tasks), ..self }
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
        if let (Some(cut), Some(tasks)) = (&self.cut, &self.tasks) {
            tasks.begun(cut.clone());
            self.tasks = None;
        }
        if self.cut.as_ref().is_some_and(CancellationToken::is_cancelled) {
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
