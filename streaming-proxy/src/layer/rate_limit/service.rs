//! The limit as a tower layer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

use crate::journal::Journal;
use crate::layer::rate_limit::{Decision, Limiter};

/// Puts a [`Limiter`] in front of a service.
///
/// `key` says whose bucket a request takes from (`None`: it is outside the limit); `refuse` writes the 429, to which
/// the limit's header fields are added. Answers that pass get them too.
pub struct RateLimitLayer<K, R> {
    limiter: Limiter,
    hooks: Arc<Hooks<K, R>>,
}

/// A service behind a [`Limiter`].
pub struct RateLimit<S, K, R> {
    inner: S,
    limiter: Limiter,
    hooks: Arc<Hooks<K, R>>,
}

/// The answer of a [`RateLimit`], to come.
pub struct RateLimitFuture<P, E> {
    inner: Pin<Box<dyn Future<Output = Result<P, E>> + Send>>,
}

struct Hooks<K, R> {
    key: K,
    refuse: R,
}

// === impl RateLimitLayer ===

impl<K, R> RateLimitLayer<K, R> {
    /// A layer with these hooks.
    pub fn new<B, P>(limiter: Limiter, key: K, refuse: R) -> Self
    where
        K: Fn(&Request<B>) -> Option<String>,
        R: Fn(&Decision, Request<B>) -> Response<P>,
    {
        Self { limiter, hooks: Arc::new(Hooks { key, refuse }) }
    }
}

impl<K, R> Clone for RateLimitLayer<K, R> {
    fn clone(&self) -> Self {
        Self { limiter: self.limiter.clone(), hooks: self.hooks.clone() }
    }
}

impl<K, R> fmt::Debug for RateLimitLayer<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl<S, K, R> Layer<S> for RateLimitLayer<K, R> {
    type Service = RateLimit<S, K, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit { inner, limiter: self.limiter.clone(), hooks: self.hooks.clone() }
    }
}

// === impl RateLimit ===

impl<S: Clone, K, R> Clone for RateLimit<S, K, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), limiter: self.limiter.clone(), hooks: self.hooks.clone() }
    }
}

impl<S, K, R> fmt::Debug for RateLimit<S, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl<S, B, P, K, R> Service<Request<B>> for RateLimit<S, K, R>
where
    S: Service<Request<B>, Response = Response<P>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    K: Fn(&Request<B>) -> Option<String> + Send + Sync + 'static,
    R: Fn(&Decision, Request<B>) -> Response<P> + Send + Sync + 'static,
{
    type Response = Response<P>;
    type Error = S::Error;
    type Future = RateLimitFuture<Response<P>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone is for the next request; this one takes the service that is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let key = if self.limiter.is_off() { None } else { (self.hooks.key)(&request) };
        let Some(key) = key else {
            return RateLimitFuture { inner: Box::pin(inner.call(request)) };
        };
        let limiter = self.limiter.clone();
        let hooks = self.hooks.clone();
        RateLimitFuture {
            inner: Box::pin(async move {
                let decision = limiter.check(&key).await;
                let mut response = if decision.is_allowed() {
                    inner.call(request).await?
                } else {
                    if let Some(journal) = request.extensions().get::<Journal>() {
                        journal.ended("rate_limited");
                    }
                    (hooks.refuse)(&decision, request)
                };
                decision.write(response.headers_mut());
                Ok(response)
            }),
        }
    }
}

// === impl RateLimitFuture ===

impl<P, E> Future for RateLimitFuture<P, E> {
    type Output = Result<P, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<P, E> fmt::Debug for RateLimitFuture<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}
