//! The service around the service.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::layer::http_cache::origin::{Origin, Own};
use crate::layer::http_cache::{HttpCacheBody, Shared};

/// A service whose answers are cached, see [the module](crate::layer::http_cache).
#[derive(Clone)]
pub struct HttpCache<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// The answer of a [`HttpCache`], to come.
///
/// When dropped, a load that began goes on and is kept, and what an unsafe request may have changed is ended.
pub struct HttpCacheFuture<R, E> {
    inner: Pin<Box<dyn Future<Output = Own<R, E>> + Send>>,
}

type BoxError = Box<dyn StdError + Send + Sync>;

// === impl HttpCache ===

impl<S> HttpCache<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, R> Service<Request<B>> for HttpCache<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<HttpCacheBody<R>>;
    type Error = S::Error;
    type Future = HttpCacheFuture<R, S::Error>;

    /// Always ready: what is kept needs nothing of the service. Who needs it waits for it later.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
        HttpCacheFuture { inner: Box::pin(async move { shared.answer(Origin { inner, request }).await }) }
    }
}

impl<S> fmt::Debug for HttpCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCache").field("cache", &self.shared.cache).finish_non_exhaustive()
    }
}

// === impl HttpCacheFuture ===

impl<R, E> Future for HttpCacheFuture<R, E> {
    type Output = Own<R, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<R, E> fmt::Debug for HttpCacheFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheFuture").finish_non_exhaustive()
    }
}
