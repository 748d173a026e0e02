//! The body of an answer.

pub(crate) mod download;
pub(crate) mod gate;
pub(crate) mod idle;
pub(crate) mod replay;
pub(crate) mod source;
pub(crate) mod upload;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::download::Download;
use crate::error::ProxyError;

/// The body of an answer: an upstream's, as it comes, or a short one of this proxy's own.
///
/// Dropping it before its end cancels the exchange with the upstream at once.
#[derive(Debug, Default)]
pub struct ProxyBody {
    kind: Kind,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    /// Nothing, for a head that states the length of what it does not carry.
    Absent(u64),
    Download(Box<Download>),
}

// === impl ProxyBody ===

impl ProxyBody {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// No body where the head says `length`: an answer 304, which tells the length that 200 would have had. hyper's
    /// server keeps that field only for a body of that length, and then sends none of it.
    pub(crate) fn absent(length: u64) -> Self {
        Self { kind: Kind::Absent(length) }
    }

    pub(crate) fn download(download: Download) -> Self {
        Self { kind: Kind::Download(Box::new(download)) }
    }
}

impl http_body::Body for ProxyBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        match &mut self.kind {
            Kind::Empty | Kind::Absent(_) => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Download(download) => Pin::new(&mut **download).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Absent(_) => false,
            Kind::Download(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Absent(length) => SizeHint::with_exact(*length),
            Kind::Download(download) => download.size_hint(),
        }
    }
}

impl From<Bytes> for ProxyBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self { kind: Kind::Full(bytes) } }
    }
}

impl From<String> for ProxyBody {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for ProxyBody {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}
