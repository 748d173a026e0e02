//! Bodies: kept ones, and those that are passed on.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use crate::layer::http_cache::HttpCacheConfig;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of an answer behind a [`HttpCache`](crate::layer::http_cache::HttpCache).
pub struct HttpCacheBody<B> {
    kind: Kind<B>,
}

enum Kind<B> {
    Whole(Bytes),
    Passed {
        /// What was read of it already: what there was of data, and trailers.
        begun: VecDeque<Frame<Bytes>>,
        /// How it broke off, after that.
        broken: Option<BoxError>,
        rest: Pin<Box<B>>,
    },
}

/// What was read of a body. One piece is not copied; of many, however small they are, their bytes are held.
#[derive(Default)]
struct Read {
    first: Bytes,
    /// All of them, when there are more than one.
    all: BytesMut,
    trailers: Option<Frame<Bytes>>,
}

/// What became of a body that should be whole.
pub(super) enum Collected<B> {
    Whole(Bytes),
    /// It is passed on as it comes, for this reason.
    Passed(HttpCacheBody<B>, &'static str),
    /// It broke off.
    Broken(HttpCacheBody<B>),
}

// === impl HttpCacheBody ===

impl<B> HttpCacheBody<B> {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Whole(bytes) }
    }

    pub(super) fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { begun: VecDeque::new(), broken: None, rest: Box::pin(body) } }
    }
}

impl<B> Body for HttpCacheBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Passed { begun, broken, rest } => {
                if let Some(frame) = begun.pop_front() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                if let Some(error) = broken.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                rest.as_mut().poll_frame(cx).map_err(Into::into)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Passed { begun, broken, rest } => {
                begun.is_empty() && broken.is_none() && rest.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            // How much it would have been, nobody can say any more.
            Kind::Passed { broken: Some(_), .. } => SizeHint::new(),
            Kind::Passed { begun, rest, .. } => {
                let begun = begun.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
                let rest = rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(begun));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(begun));
                }
                hint
            }
        }
    }
}

impl<B> fmt::Debug for HttpCacheBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheBody").finish_non_exhaustive()
    }
}

/// Reads a body to its end, within the bounds. `length` is what `Content-Length` promises.
pub(super) async fn collect<B>(body: B, length: Option<u64>, config: &HttpCacheConfig) -> Collected<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let too_long = |len: u64| usize::try_from(len).map_or(true, |len| len > config.max_body);
    if too_long(body.size_hint().lower().max(length.unwrap_or(0))) {
        return Collected::Passed(HttpCacheBody::passed(body), "too_long");
    }
    let deadline = Instant::now() + config.body_timeout;
    let (mut rest, mut read) = (Box::pin(body), Read::default());
    let passed = |read: Read, rest, why| {
        Collected::Passed(
            HttpCacheBody { kind: Kind::Passed { begun: read.frames(), broken: None, rest } },
            why,
        )
    };
    let broken: BoxError = loop {
        // What always has something more, if only nothing, must not keep the others from running.
        consume_budget().await;
        let Ok(frame) = timeout_at(deadline, poll_fn(|cx| rest.as_mut().poll_frame(cx))).await else {
            return passed(read, rest, "too_slow");
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            None if length.is_some_and(|length| length != read.len()) => {
                break "the body is not as long as it says".into();
            }
            None => return Collected::Whole(read.whole()),
            Some(Err(error)) => break error.into(),
            Some(Ok(Err(trailers))) => {
                read.trailers = Some(trailers);
                return passed(read, rest, "trailers");
            }
            Some(Ok(Ok(data))) => {
                read.push(data);
                if too_long(read.len()) {
                    return passed(read, rest, "too_long");
                }
                // Nor does the timeout hear of it.
                if Instant::now() >= deadline {
                    return passed(read, rest, "too_slow");
                }
            }
        }
    };
    Collected::Broken(HttpCacheBody {
        kind: Kind::Passed { begun: read.frames(), broken: Some(broken), rest },
    })
}

// === impl Read ===

impl Read {
    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(&data);
        }
    }

    fn len(&self) -> u64 {
        self.first.len().max(self.all.len()) as u64
    }

    fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }

    fn frames(mut self) -> VecDeque<Frame<Bytes>> {
        let trailers = self.trailers.take();
        let data = Some(self.whole()).filter(|data| !data.is_empty()).map(Frame::data);
        data.into_iter().chain(trailers).collect()
    }
}
