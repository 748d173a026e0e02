//! The forwarder: a request to an upstream, and its answer or its error back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};

use crate::body::ProxyBody;
use crate::body::replay::Room;
use crate::body::upload::Upload;
use crate::config::ProxyConfig;
use crate::error::{BoxError, ProxyError};
use crate::forward;
use crate::forward::outgoing::Outgoing;
use crate::headers::via::Via;
use crate::route::Routes;
use crate::upgrade::Tunnels;

/// A reverse proxy as a `tower::Service<Request<B>>`, for any body. Clones share all.
///
/// Its errors are typed ([`ProxyError`]); [`RespondLayer`](crate::layer::respond::RespondLayer) turns them into
/// answers. It wants a [`Peer`](crate::Peer) in the request's extensions; without one no forwarding headers are written
/// (and those of the client are removed all the same).
///
/// # Errors
///
/// Any [`ErrorKind`](crate::ErrorKind) but `Config` and `Truncated`; the latter comes from the body.
///
/// # Cancel safety
///
/// Dropping the future, or the body of the answer, cancels the exchange: the connection to the upstream is closed.
#[derive(Clone)]
pub struct Forwarder {
    shared: Arc<Shared>,
}

/// The answer of a [`Forwarder`], to come. Dropping it cancels the exchange with the upstream.
pub struct ForwardFuture {
    inner: Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, ProxyError>> + Send>>,
}

pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) tunnels: Tunnels,
    pub(crate) replay: Arc<Room>,
    pub(crate) via: Option<Via>,
}

// === impl Forwarder ===

impl Forwarder {
    /// A forwarder for these routes.
    #[must_use]
    pub fn new(config: ProxyConfig, routes: Routes) -> Self {
        let tunnels = Tunnels::new(config.max_tunnels, config.tunnel_idle);
        let replay = Room::new(config.max_replay_total);
        let via = config.via.as_deref().and_then(Via::new);
        routes.start();
        let routes = ArcSwap::from_pointee(routes);
        Self { shared: Arc::new(Shared { config, routes, tunnels, replay, via }) }
    }

    /// Other routes for the requests from now on; those under way keep theirs.
    ///
    /// An upstream of the same name and configuration keeps what it knows: of the addresses that stay, their
    /// connections, bounds and health. So a table can be built anew for every change; [`routes`](Self::routes) has what came of it.
    pub fn set_routes(&self, routes: Routes) {
        let before = self.routes();
        let routes = routes.succeeding(&before);
        routes.start();
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
}

impl<B> tower::Service<Request<B>> for Forwarder
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody>;
    type Error = ProxyError;
    type Future = ForwardFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        // Bounds are per address: one full upstream must not stop the others.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ForwardFuture {
        let shared = self.shared.clone();
        let version = request.version();
        let mut outgoing = Outgoing::new(request.map(|body| Upload::new(body, version)));
        ForwardFuture { inner: Box::pin(async move { forward::forward(&shared, &mut outgoing).await }) }
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder")
            .field("config", &self.shared.config)
            .field("routes", &self.routes())
            .finish_non_exhaustive()
    }
}

// === impl ForwardFuture ===

impl Future for ForwardFuture {
    type Output = Result<Response<ProxyBody>, ProxyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl fmt::Debug for ForwardFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardFuture").finish_non_exhaustive()
    }
}
