//! The proxy as a tower service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderName, Request, Response};

use crate::body::Body;
use crate::body::upload::Upload;
use crate::config::ProxyConfig;
use crate::error::{BoxError, Error};
use crate::forward::{self, Upgrading};
use crate::headers::hop;
use crate::respond::{Inbound, Problem, Respond};
use crate::route::Routes;
use crate::upgrade::Tunnels;

/// A reverse proxy: `tower::Service<Request<B>>` for any body, with an answer to everything. Clones share all.
///
/// It wants a [`Peer`](crate::Peer) in the request's extensions; without one no forwarding headers are written (and
/// those of the client are removed all the same).
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) tunnels: Tunnels,
    respond: Box<dyn Respond>,
}

/// The answer of a [`Proxy`], to come. Dropping it cancels the exchange with the upstream.
pub struct ProxyFuture {
    inner: Pin<Box<dyn Future<Output = Response<Body>> + Send>>,
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

// === impl Proxy ===

impl Proxy {
    /// A proxy for these routes that answers failures with RFC 9457 problems.
    #[must_use]
    pub fn new(config: ProxyConfig, routes: Routes) -> Self {
        Self::with_respond(config, routes, Problem::new())
    }

    /// A proxy for these routes that answers failures with `respond`.
    #[must_use]
    pub fn with_respond(config: ProxyConfig, routes: Routes, respond: impl Respond) -> Self {
        let tunnels = Tunnels::new(config.max_tunnels, config.tunnel_idle);
        Self {
            shared: Arc::new(Shared {
                config,
                routes: ArcSwap::from_pointee(routes),
                tunnels,
                respond: Box::new(respond),
            }),
        }
    }

    /// Other routes for the requests from now on; those under way keep theirs.
    pub fn set_routes(&self, routes: Routes) {
        self.shared.routes.store(Arc::new(routes));
    }

    /// The routes at this moment.
    #[must_use]
    pub fn routes(&self) -> Arc<Routes> {
        self.shared.routes.load_full()
    }

    /// How many tunnels (WebSockets) are open.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.shared.tunnels.open()
    }

    /// Ends all tunnels and refuses new ones: the last step of a drain, after their own protocol had its time.
    ///
    /// # Cancel safety
    ///
    /// The tunnels end even if this is dropped.
    pub async fn close_tunnels(&self) {
        self.shared.tunnels.close().await;
    }

    /// Passes one request on, and returns the failure instead of answering it.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`](crate::ErrorKind) but `Config` and `Truncated`; the latter comes from the body.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cancels the exchange: the connection to the upstream is closed.
    pub async fn forward<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, upload, upgrading) = take_apart(request);
        forward::forward(&self.shared, parts, upload, upgrading).await
    }
}

impl<B> tower::Service<Request<B>> for Proxy
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ProxyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Bounds are per address and answered with 503: one full upstream must not stop the others.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ProxyFuture {
        let shared = self.shared.clone();
        let inbound = Inbound {
            method: request.method().clone(),
            uri: request.uri().clone(),
            request_id: request.headers().get(X_REQUEST_ID).cloned(),
        };
        let (parts, upload, upgrading) = take_apart(request);
        ProxyFuture {
            inner: Box::pin(async move {
                match forward::forward(&shared, parts, upload, upgrading).await {
                    Ok(response) => response,
                    Err(error) => {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            kind = error.kind().label(),
                            "not passed on"
                        );
                        shared.respond.respond(&error, &inbound)
                    }
                }
            }),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("config", &self.shared.config)
            .field("routes", &self.routes())
            .finish_non_exhaustive()
    }
}

// === impl ProxyFuture ===

impl Future for ProxyFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ProxyFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyFuture").finish_non_exhaustive()
    }
}

fn take_apart<B>(mut request: Request<B>) -> (http::request::Parts, Upload, Option<Upgrading>)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let upgrading = hop::upgrade(request.headers())
        .cloned()
        .map(|protocol| Upgrading { client: hyper::upgrade::on(&mut request), protocol });
    let (parts, body) = request.into_parts();
    (parts, Upload::new(body), upgrading)
}
