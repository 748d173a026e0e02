//! `X-Request-Id`: one name for a request, that all logs on its way share.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Gives every request an `X-Request-Id`, and its answer the same one.
///
/// A client's own is kept if it is one: 1 to 128 letters, digits, `.`, `_` and `-`. Anything else could be made to look like
/// several lines of a log, and is replaced: by 128 random bits in hexadecimal digits.
///
/// Put it in front of [`RespondLayer`](crate::layer::respond::RespondLayer), whose problems tell the id. A
/// [`Forwarder`](crate::Forwarder) passes on what is there, with or without this layer.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequestIdLayer;

/// A service whose requests have an id.
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
}

pin_project! {
    /// The answer of a [`RequestId`] service, to come.
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        id: HeaderValue,
    }
}

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is kept: room for any common scheme, too short to flood a log.
const MAX_LENGTH: usize = 128;

// === impl RequestIdLayer ===

impl RequestIdLayer {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId { inner }
    }
}

// === impl RequestId ===

impl<S, B, R> Service<Request<B>> for RequestId<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let headers = request.headers_mut();
        let id = match good(headers) {
            Some(id) => id.clone(),
            None => {
                let id = made();
                headers.insert(X_REQUEST_ID, id.clone());
                id
            }
        };
        RequestIdFuture { inner: self.inner.call(request), id }
    }
}

// === impl RequestIdFuture ===

impl<F, R, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        // What an upstream says instead is its own affair, and not what the logs here have.
        response.headers_mut().insert(X_REQUEST_ID, this.id.clone());
        Poll::Ready(Ok(response))
    }
}

impl<F> fmt::Debug for RequestIdFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIdFuture").field("id", &self.id).finish_non_exhaustive()
    }
}

fn good(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let id = ids.next().filter(|_| ids.next().is_none())?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    ((1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(plain)).then_some(id)
}

fn made() -> HeaderValue {
    // INVARIANT: hexadecimal digits are a value.
    let id = HeaderValue::try_from(format!("{:032x}", rand::random::<u128>()));
    id.unwrap_or(const { HeaderValue::from_static("0") })
}

#[cfg(test)]
mod tests;
