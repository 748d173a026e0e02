//! How long a request's body may be.
//!
//! ```
//! use tower::ServiceBuilder;
//! use tramline_streaming_proxy::layer::body_limit::BodyLimitLayer;
//! use tramline_streaming_proxy::layer::respond::RespondLayer;
//! # use tramline_streaming_proxy::{Forwarder, ProxyConfig, Routes};
//!
//! # let forwarder = Forwarder::new(ProxyConfig::default(), Routes::default());
//! let service = ServiceBuilder::new()
//!     .layer(RespondLayer::new()) // answers 413
//!     .layer(BodyLimitLayer::new(10 * 1024 * 1024))
//!     .service(forwarder);
//! # let _ = service;
//! ```
//!
//! In front of a service with other errors than a [`ProxyError`], tower-http's `RequestBodyLimitLayer` does the same.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Request;
use http_body_util::Limited;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::error::{ErrorKind, ProxyError};
use crate::metrics;

/// Refuses bodies that are longer than this ([`ErrorKind::BodyTooLarge`], 413).
///
/// A body whose length is stated is refused before anything is sent or read. One of unknown length is cut where it goes
/// beyond the limit: the upstream sees a request that breaks off, and its connection is closed.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimitLayer {
    max: usize,
}

/// A service whose requests' bodies are limited.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit<S> {
    inner: S,
    max: usize,
}

pin_project! {
    /// The answer of a [`BodyLimit`], to come.
    #[derive(Debug)]
    pub struct BodyLimitFuture<F> {
        // `None`: the body is too long.
        #[pin]
        inner: Option<F>,
    }
}

// === impl BodyLimitLayer ===

impl BodyLimitLayer {
    /// At most so many bytes, of what the body is without its chunks' sizes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max }
    }
}

impl<S> Layer<S> for BodyLimitLayer {
    type Service = BodyLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyLimit { inner, max: self.max }
    }
}

// === impl BodyLimit ===

impl<S, B> Service<Request<B>> for BodyLimit<S>
where
    S: Service<Request<Limited<B>>, Error = ProxyError>,
    B: http_body::Body,
{
    type Response = S::Response;
    type Error = ProxyError;
    type Future = BodyLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let too_long =
            usize::try_from(request.body().size_hint().lower()).map_or(true, |least| least > self.max);
        let max = self.max;
        let inner = (!too_long).then(|| self.inner.call(request.map(|body| Limited::new(body, max))));
        BodyLimitFuture { inner }
    }
}

// === impl BodyLimitFuture ===

impl<F, T> Future for BodyLimitFuture<F>
where
    F: Future<Output = Result<T, ProxyError>>,
{
    type Output = Result<T, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => {
                let error = ProxyError::new(ErrorKind::BodyTooLarge);
                metrics::refused(&error);
                Poll::Ready(Err(error))
            }
        }
    }
}
