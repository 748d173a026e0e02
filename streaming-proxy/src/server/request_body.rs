//! The body of a request, as the server hands it on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::{BoxError, ErrorKind, ProxyError, Sent, Stage};

/// The body of a request that [`serve`](crate::server::serve) hands on.
///
/// It ends where its client has ended it, behind any number of layers that wrap it: a stream of HTTP/2 that its client
/// resets with NO_ERROR, which hyper takes for an end, fails with a [`ProxyError`] ([`ErrorKind::ClientGone`]). Other
/// failures are hyper's own.
#[derive(Debug)]
pub struct RequestBody {
    body: Incoming,
    is_stream: bool,
}

// === impl RequestBody ===

impl RequestBody {
    /// hyper's body of a request of this version.
    pub(crate) fn new(body: Incoming, version: Version) -> Self {
        Self { body, is_stream: version == Version::HTTP_2 }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            // NO_ERROR means an end in answers alone (RFC 9113, 8.1). A client that has not ended its stream has taken
            // its request back.
            None if self.is_stream && !self.body.is_end_stream() => {
                let error = ProxyError::new(ErrorKind::ClientGone).because("the stream was reset");
                Poll::Ready(Some(Err(error.when(Stage::Receive, Sent::Partly).into())))
            }
            polled => Poll::Ready(polled.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
