//! Where a client's body comes from.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

use crate::body::replay::Reading;
use crate::error::BoxError;
use crate::server::RequestBody;

/// A client's body. One type, so that connections can be shared.
pub(crate) enum Source {
    /// The server's, or that of a hyper server, the usual case: no box.
    Request(RequestBody),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
    /// One of those, which may be sent again.
    Replayed(Reading),
}

// === impl Source ===

impl Source {
    /// `None` if there is nothing in it.
    pub(crate) fn new<B>(body: B, version: Version) -> Option<Self>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return None;
        }
        let mut body = Some(body);
        let any = &mut body as &mut dyn Any;
        if let Some(body) = any.downcast_mut::<Option<RequestBody>>().and_then(Option::take) {
            return Some(Self::Request(body));
        }
        if let Some(body) = any.downcast_mut::<Option<Incoming>>().and_then(Option::take) {
            return Some(Self::Request(RequestBody::new(body, version)));
        }
        body.map(|body| Self::Boxed(body.map_err(Into::into).boxed_unsync()))
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Request(body) => Pin::new(body).poll_frame(cx),
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
            Self::Replayed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Request(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
            Self::Replayed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Request(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
            Self::Replayed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request(_) => "Request",
            Self::Boxed(_) => "Boxed",
            Self::Replayed(_) => "Replayed",
        })
    }
}
