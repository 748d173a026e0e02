//! Answers to what a [`Forwarder`](crate::Forwarder) could not pass on.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{ALLOW, CONNECTION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::body::ProxyBody;
use crate::error::{ErrorKind, ProxyError};
use crate::headers::max_forwards::ALLOWED;
use crate::journal::Journal;
use crate::layer::request_id::X_REQUEST_ID;
use crate::respond::{Inbound, Problem, Respond};

/// Turns every [`ProxyError`] of the service behind into an answer.
///
/// [`Respond`] writes it. Added to it are what all of them need: `Proxy-Status` (RFC 9209), `Retry-After` with 503,
/// `Allow` with 405, and `Connection: close` where it is in doubt where the request ends.
#[derive(Clone)]
pub struct RespondLayer<R = Problem> {
    inner: Arc<Answers<R>>,
}

/// A service whose errors a [`RespondLayer`] answers.
#[derive(Clone)]
pub struct RespondService<S, R = Problem> {
    inner: S,
    answers: Arc<Answers<R>>,
}

pin_project! {
    /// The answer of a [`RespondService`], to come. Dropping it cancels what the service behind is doing.
    pub struct RespondFuture<F, R = Problem> {
        #[pin]
        inner: F,
        inbound: Inbound,
        journal: Option<Journal>,
        answers: Arc<Answers<R>>,
    }
}

struct Answers<R> {
    respond: R,
    /// This proxy's item in `Proxy-Status`, to which an error is added.
    name: String,
}

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Bounds here are reached for moments: a second later there is room, or the client is told again.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

/// The proxy's own name in `Proxy-Status`.
const NAME: &str = "tramline";

/// What the layer would answer, for what is refused in front of it.
pub(crate) fn refusal(error: &ProxyError, inbound: &Inbound) -> Response<ProxyBody> {
    Answers { respond: Problem::new(), name: NAME.to_owned() }.to(error, inbound)
}

// === impl RespondLayer ===

impl RespondLayer {
    /// Answers with RFC 9457 problems.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Problem::new())
    }
}

impl<R: Respond> RespondLayer<R> {
    /// Answers as `respond` writes them.
    #[must_use]
    pub fn with(respond: R) -> Self {
        Self { inner: Arc::new(Answers { respond, name: NAME.to_owned() }) }
    }

    /// The same answers, with this name for the proxy in `Proxy-Status`. Only letters, digits, `-`, `_` and `.` of it
    /// are kept. The default is `tramline`.
    #[must_use]
    pub fn named(self, name: &str) -> Self
    where
        R: Clone,
    {
        let plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
        let name: String = name.chars().filter(plain).collect();
        // A token starts with a letter (RFC 9651, 3.3.4); a string may hold anything.
        let name = if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            name
        } else {
            format!("\"{name}\"")
        };
        Self { inner: Arc::new(Answers { respond: self.inner.respond.clone(), name }) }
    }
}

impl Default for RespondLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, R> Layer<S> for RespondLayer<R> {
    type Service = RespondService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RespondService { inner, answers: self.inner.clone() }
    }
}

impl<R> fmt::Debug for RespondLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondLayer").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

// === impl RespondService ===

impl<S, R> RespondService<S, R> {
    /// The service behind, whose errors are not answered.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, R, B> Service<Request<B>> for RespondService<S, R>
where
    S: Service<Request<B>, Response = Response<ProxyBody>, Error = ProxyError>,
    R: Respond,
{
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = RespondFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A service that cannot get ready says so again to each request, which is then answered.
        let _ = ready!(self.inner.poll_ready(cx));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inbound = Inbound {
            method: request.method().clone(),
            uri: request.uri().clone(),
            request_id: request.headers().get(X_REQUEST_ID).cloned(),
        };
        let journal = request.extensions().get::<Journal>().cloned();
        RespondFuture { inner: self.inner.call(request), inbound, journal, answers: self.answers.clone() }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RespondService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

// === impl RespondFuture ===

impl<F, R> Future for RespondFuture<F, R>
where
    F: Future<Output = Result<Response<ProxyBody>, ProxyError>>,
    R: Respond,
{
    type Output = Result<Response<ProxyBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(Ok(match ready!(this.inner.poll(cx)) {
            Ok(response) => response,
            Err(error) => {
                // A layer behind this one may have refused it before a forwarder could say so.
                if let Some(journal) = this.journal {
                    journal.ended(error.kind().label());
                }
                this.answers.to(&error, this.inbound)
            }
        }))
    }
}

impl<F, R> fmt::Debug for RespondFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondFuture").field("inbound", &self.inbound).finish_non_exhaustive()
    }
}

// === impl Answers ===

impl<R: Respond> Answers<R> {
    fn to(&self, error: &ProxyError, inbound: &Inbound) -> Response<ProxyBody> {
        tracing::debug!(
            error = error as &dyn std::error::Error,
            kind = error.kind().label(),
            stage = ?error.stage(),
            sent = ?error.sent(),
            "not passed on"
        );
        let mut response = self.respond.respond(error, inbound);
        let headers = response.headers_mut();
        if let Ok(item) = HeaderValue::try_from(format!("{}; error={}", self.name, error.proxy_status())) {
            headers.insert(PROXY_STATUS, item);
        }
        match error.kind() {
            ErrorKind::CircuitOpen | ErrorKind::Overloaded | ErrorKind::Shed => {
                headers.entry(RETRY_AFTER).or_insert_with(|| again_in(error.retry_after()));
            }
            ErrorKind::MethodRefused => {
                headers.entry(ALLOW).or_insert_with(|| error.allow().cloned().unwrap_or(ALLOWED));
            }
            // What follows on this connection may not be what it seems: the framing is wrong, or nobody has looked at it.
            ErrorKind::BadRequest
            | ErrorKind::BodyTooLarge
            | ErrorKind::ClientBody
            | ErrorKind::UriTooLong => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Whole seconds, and not before.
fn again_in(time: Option<Duration>) -> HeaderValue {
    let seconds = time.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
    seconds.filter(|seconds| *seconds > 0).map_or(AGAIN, HeaderValue::from)
}
