//! Where a client's body comes from.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

use crate::body::replay::Reading;
use crate::error::{BoxError, ErrorKind, ProxyError};

/// A client's body. One type, so that connections can be shared.
pub(crate) enum Source {
    Empty,
    /// hyper's own, the usual case: no box.
    Incoming(Incoming),
    /// The same of HTTP/2.
    Stream(Incoming),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
    /// One of those, which may be sent again.
    Replayed(Reading),
}

// === impl Source ===

impl Source {
    pub(crate) fn new<B>(body: B, version: Version) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let mut body = Some(body);
        let incoming = (&mut body as &mut dyn Any).downcast_mut::<Option<Incoming>>().and_then(Option::take);
        match (incoming, body) {
            (Some(incoming), _) if version == Version::HTTP_2 => Self::Stream(incoming),
            (Some(incoming), _) => Self::Incoming(incoming),
            (None, Some(body)) => Self::Boxed(body.map_err(Into::into).boxed_unsync()),
            (None, None) => Self::Empty,
        }
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
            Self::Empty => Poll::Ready(None),
            Self::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Stream(body) => match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                // hyper takes a reset with NO_ERROR for an end, which it is for answers (RFC 9113, 8.1). A client that
                // has not ended its stream has taken its request back.
                None if !body.is_end_stream() => {
                    let error = ProxyError::new(ErrorKind::ClientGone).because("the stream was reset");
                    Poll::Ready(Some(Err(error.into())))
                }
                polled => Poll::Ready(polled.map(|frame| frame.map_err(Into::into))),
            },
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
            Self::Replayed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Incoming(body) | Self::Stream(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
            Self::Replayed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Incoming(body) | Self::Stream(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
            Self::Replayed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Incoming(_) => "Incoming",
            Self::Stream(_) => "Stream",
            Self::Boxed(_) => "Boxed",
            Self::Replayed(_) => "Replayed",
        })
    }
}
