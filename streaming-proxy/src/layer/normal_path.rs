//! One spelling of each path for all layers behind.
//!
//! ```
//! use tower::ServiceBuilder;
//! use tramline_streaming_proxy::layer::normal_path::NormalPathLayer;
//! use tramline_streaming_proxy::layer::respond::RespondLayer;
//! # use tramline_streaming_proxy::{Forwarder, ProxyConfig, Routes};
//!
//! # let forwarder = Forwarder::new(ProxyConfig::default(), Routes::default());
//! let service = ServiceBuilder::new()
//!     .layer(RespondLayer::new()) // answers 400
//!     .layer(NormalPathLayer::new())
//!     // … limits by path …
//!     .service(forwarder);
//! # let _ = service;
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{Request, Uri};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::error::ProxyError;
use crate::{metrics, path};

/// Brings the path of each request into its [normal form](crate::path::normal), so that layers behind that go by paths,
/// such as limits, see what a [`Forwarder`](crate::Forwarder) matches and sends. What has none is refused
/// ([`ErrorKind::BadRequest`](crate::ErrorKind::BadRequest), 400).
///
/// A router in front of it sees paths as they are spelled: let it refuse what is not normal.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NormalPathLayer;

/// A service whose requests' paths are normal.
#[derive(Clone, Copy, Debug)]
pub struct NormalPath<S> {
    inner: S,
}

pin_project! {
    /// The answer of a [`NormalPath`] service, to come.
    #[derive(Debug)]
    pub struct NormalPathFuture<F> {
        #[pin]
        inner: Option<F>,
        refused: Option<ProxyError>,
    }
}

// === impl NormalPathLayer ===

impl NormalPathLayer {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for NormalPathLayer {
    type Service = NormalPath<S>;

    fn layer(&self, inner: S) -> NormalPath<S> {
        NormalPath { inner }
    }
}

// === impl NormalPath ===

impl<S, B> Service<Request<B>> for NormalPath<S>
where
    S: Service<Request<B>, Error = ProxyError>,
{
    type Response = S::Response;
    type Error = ProxyError;
    type Future = NormalPathFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match normal(request.uri()) {
            Ok(None) => {}
            Ok(Some(uri)) => *request.uri_mut() = uri,
            Err(error) => {
                metrics::refused(&error);
                return NormalPathFuture { inner: None, refused: Some(error) };
            }
        }
        NormalPathFuture { inner: Some(self.inner.call(request)), refused: None }
    }
}

// === impl NormalPathFuture ===

impl<F, T> Future for NormalPathFuture<F>
where
    F: Future<Output = Result<T, ProxyError>>,
{
    type Output = Result<T, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.refused.take()) {
            (Some(inner), _) => inner.poll(cx),
            (None, Some(error)) => Poll::Ready(Err(error)),
            // It was ready before.
            (None, None) => Poll::Pending,
        }
    }
}

/// The same target with its path in the normal form; `None` if it is.
fn normal(uri: &Uri) -> Result<Option<Uri>, ProxyError> {
    // `OPTIONS *` and CONNECT have none, and are refused for what they are.
    if !uri.path().starts_with('/') {
        return Ok(None);
    }
    let path = path::normal(uri.path())?;
    if path.is_unchanged() {
        return Ok(None);
    }
    let mut target = path.as_str().to_owned();
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let too_long = |cause: http::Error| ProxyError::bad_request("the target").with(cause);
    let target = PathAndQuery::try_from(target).map_err(|cause| too_long(cause.into()))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map(Some).map_err(|cause| too_long(cause.into()))
}

#[cfg(test)]
mod tests;
