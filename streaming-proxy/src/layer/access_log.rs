//! An access log: one event for each request, when its answer has ended.

mod body;
mod record;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::journal::Journal;
use crate::layer::access_log::record::Record;
use crate::trust::{Peer, TrustedProxies};

pub use crate::layer::access_log::body::{Down, Up};

/// Writes one `tracing` event for each request, at the level INFO and with the target `streaming_proxy::access`, when the
/// body of the answer has ended or was dropped.
///
/// It belongs in front of [`RespondLayer`](crate::layer::respond::RespondLayer), so that it sees every answer. Its fields:
///
/// | field | what it says |
/// |---|---|
/// | `method`, `path`, `version` | what was asked for; never the query, which may hold secrets |
/// | `status` | of the answer; none when there was no answer to give |
/// | `outcome` | as in the metric `streaming_proxy.requests`; or `rate_limited`, and `answered_here` where no forwarder was asked |
/// | `bytes_in`, `bytes_out` | of the bodies, as far as they were passed on; without those of tunnels |
/// | `client`, `peer` | the client as far as the [trusted](Self::trusting) proxies vouch for it, and the other end |
/// | `request_id` | `X-Request-Id` |
/// | `route`, `upstream`, `address` | where a [`Forwarder`](crate::Forwarder) sent it, the address tried last |
/// | `attempts` | how often it was given to a connection there |
/// | `queue`, `connect`, `head` | seconds until it had its turn, until a connection or a stream of one, until the head of the answer; of all tries |
/// | `total` | seconds from the first to the last byte |
///
/// Where there is no such layer none of this is measured.
#[derive(Clone, Debug, Default)]
pub struct AccessLogLayer {
    trusted: Arc<TrustedProxies>,
}

/// A service whose requests are logged.
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
    trusted: Arc<TrustedProxies>,
}

pin_project! {
    /// The answer of an [`AccessLog`], to come. Dropping it is logged too.
    pub struct AccessLogFuture<F> {
        #[pin]
        inner: F,
        record: Option<Record>,
    }
}

// === impl AccessLogLayer ===

impl AccessLogLayer {
    /// A log in which the client is the other end of the connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same log, in which the client is whom these proxies vouch for.
    #[must_use]
    pub fn trusting(trusted: TrustedProxies) -> Self {
        Self { trusted: Arc::new(trusted) }
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner, trusted: self.trusted.clone() }
    }
}

// === impl AccessLog ===

impl<S, B, R> Service<Request<B>> for AccessLog<S>
where
    S: Service<Request<Up<B>>, Response = Response<R>>,
    R: http_body::Body,
{
    type Response = Response<Down<R>>;
    type Error = S::Error;
    type Future = AccessLogFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.addr);
        let client: Option<IpAddr> = peer.map(|peer| self.trusted.client(request.headers(), peer.ip()));
        let journal = Journal::default();
        request.extensions_mut().insert(journal.clone());
        let record = Record::new(&request, peer, client, journal);
        let moved = record.moved().clone();
        let request = request.map(|body| Up::new(body, moved));
        AccessLogFuture { inner: self.inner.call(request), record: Some(record) }
    }
}

// === impl AccessLogFuture ===

impl<F, R, E> Future for AccessLogFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: http_body::Body,
{
    type Output = Result<Response<Down<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.inner.poll(cx));
        let record = this.record.take();
        match answered {
            Ok(response) => {
                let record = record.map(|record| record.answered(response.status()));
                Poll::Ready(Ok(response.map(|body| Down::new(body, record))))
            }
            Err(error) => {
                drop(record.map(Record::failed));
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<F> fmt::Debug for AccessLogFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLogFuture").finish_non_exhaustive()
    }
}
