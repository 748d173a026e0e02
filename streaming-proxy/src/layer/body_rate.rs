//! How slowly a request's body may come.
//!
//! ```
//! use tower::ServiceBuilder;
//! use tramline_streaming_proxy::edge::MinRate;
//! use tramline_streaming_proxy::layer::body_rate::BodyRateLayer;
//! use tramline_streaming_proxy::layer::respond::RespondLayer;
//! # use tramline_streaming_proxy::{Forwarder, ProxyConfig, Routes};
//!
//! # let forwarder = Forwarder::new(ProxyConfig::default(), Routes::default());
//! let service = ServiceBuilder::new()
//!     .layer(RespondLayer::new()) // answers 408
//!     .layer(BodyRateLayer::new(MinRate::default()))
//!     .service(forwarder);
//! # let _ = service;
//! ```

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tower::{Layer, Service};

use crate::edge::MinRate;
use crate::edge::min_rate::Pace;
use crate::error::{BoxError, ErrorKind, ProxyError};

/// Fails bodies that come more slowly than this ([`ErrorKind::ClientTimeout`], 408), beside the
/// [time for silence](crate::config::Timeouts::request_idle), which a byte now and then gets around.
///
/// The clock runs only while someone waits for the body: an upstream that reads slowly makes no client slow. A service of
/// another kind reads a body that fails.
#[derive(Clone, Copy, Debug)]
pub struct BodyRateLayer {
    rate: MinRate,
}

/// A service whose requests' bodies have to come in time.
#[derive(Clone, Copy, Debug)]
pub struct BodyRate<S> {
    inner: S,
    rate: MinRate,
}

pin_project! {
    /// A body that has to come in time.
    pub struct PacedBody<B> {
        #[pin]
        inner: B,
        pace: Pace,
        waiting: Option<Waiting>,
    }
}

struct Waiting {
    since: Instant,
    sleep: Pin<Box<Sleep>>,
}

// === impl BodyRateLayer ===

impl BodyRateLayer {
    /// At least this rate.
    #[must_use]
    pub fn new(rate: MinRate) -> Self {
        Self { rate }
    }
}

impl<S> Layer<S> for BodyRateLayer {
    type Service = BodyRate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyRate { inner, rate: self.rate }
    }
}

// === impl BodyRate ===

impl<S, B> Service<Request<B>> for BodyRate<S>
where
    S: Service<Request<PacedBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let rate = self.rate;
        self.inner.call(request.map(|inner| PacedBody { inner, pace: Pace::new(rate), waiting: None }))
    }
}

// === impl PacedBody ===

impl<B> Body for PacedBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        match this.inner.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let waited = this.waiting.take().map_or(Duration::ZERO, |waiting| waiting.since.elapsed());
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                let in_time = this.pace.keeps_up(u64::try_from(bytes).unwrap_or(u64::MAX), waited);
                Poll::Ready(Some(if in_time { Ok(frame) } else { Err(too_slow()) }))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let waiting = this.waiting.get_or_insert_with(|| {
                    let since = Instant::now();
                    Waiting { since, sleep: Box::pin(tokio::time::sleep_until(since + this.pace.left())) }
                });
                while waiting.sleep.as_mut().poll(cx).is_ready() {
                    if !this.pace.keeps_up(0, waiting.since.elapsed()) {
                        return Poll::Ready(Some(Err(too_slow())));
                    }
                    waiting.since = Instant::now();
                    waiting.sleep.as_mut().reset(waiting.since + this.pace.left());
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for PacedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedBody").field("pace", &self.pace).finish_non_exhaustive()
    }
}

fn too_slow() -> BoxError {
    ProxyError::new(ErrorKind::ClientTimeout).because("the body comes too slowly").into()
}

#[cfg(test)]
mod tests;
