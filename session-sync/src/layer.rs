//! The tower layer: a request's bearer token checked before its handler runs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, header};
use tower::{Layer, Service};

use crate::token::TokenError;
use crate::verifier::Verifier;

/// Puts what the bearer token says into each request's extensions: `Arc<Claims>` when it is good,
/// the [`TokenError`] when it is not, or missing.
///
/// The layer refuses nothing: which routes need a token, and how a refusal reads, is the
/// application's to say.
#[derive(Clone, Debug)]
pub struct VerifierLayer {
    verifier: Verifier,
}

/// The service of [`VerifierLayer`].
#[derive(Clone, Debug)]
pub struct Verified<S> {
    inner: S,
    verifier: Verifier,
}

/// The future of [`Verified`].
pub struct VerifiedFuture<T>(Pin<Box<dyn Future<Output = T> + Send>>);

// === impl VerifierLayer ===

impl VerifierLayer {
    /// A layer that asks `verifier`.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier }
    }
}

impl<S> Layer<S> for VerifierLayer {
    type Service = Verified<S>;

    fn layer(&self, inner: S) -> Verified<S> {
        Verified { inner, verifier: self.verifier.clone() }
    }
}

// === impl Verified ===

impl<S, B> Service<Request<B>> for Verified<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = VerifiedFuture<Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The ready one is used, and a clone that is not ready takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let verifier = self.verifier.clone();
        VerifiedFuture(Box::pin(async move {
            let outcome = match bearer(request.headers()) {
                Ok(token) => verifier.verify(token).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(claims) => drop(request.extensions_mut().insert(claims)),
                Err(error) => drop(request.extensions_mut().insert(error)),
            }
            inner.call(request).await
        }))
    }
}

// === impl VerifiedFuture ===

impl<T> Future for VerifiedFuture<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for VerifiedFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedFuture")
    }
}

/// The bearer token of a request.
///
/// # Errors
///
/// [`TokenError::Missing`] without an `Authorization` header, [`TokenError::Invalid`] with one that
/// is no bearer token, or with two.
pub fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::Invalid);
    }
    let value = value.to_str().map_err(|_| TokenError::Invalid)?;
    let (scheme, token) = value.split_once(' ').ok_or(TokenError::Invalid)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(TokenError::Invalid)
    }
}
