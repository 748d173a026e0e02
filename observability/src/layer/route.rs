//! How the router tells the layers around it which route a request took.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::{Extensions, Request};
use tower::{Layer, Service};

/// The template of a route, such as `/payments/{id}`: never a path as it was asked for.
///
/// A router that answers by itself may put it into the *response's* extensions. Better is
/// [`RouteTemplate::record`] as soon as the route is known: requests that are cancelled or panic are then
/// counted under their route too.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RouteTemplate(pub(crate) Arc<str>);

/// Where [`RouteTemplate::record`] writes; put into each request's extensions by
/// [`HttpLayer`](crate::HttpLayer), which holds the other half.
#[derive(Clone, Debug, Default)]
pub struct RouteSlot(Arc<OnceLock<RouteTemplate>>);

/// Records the route of requests for layers outside the router; made for axum's `Router::route_layer`.
///
/// ```
/// use axum::extract::MatchedPath;
/// use axum::{Router, routing::get};
/// use tramline_observability::layer::RecordRouteLayer;
/// use tramline_observability::{HttpLayer, Trust};
///
/// let router: Router = Router::new()
///     .route("/payments/{id}", get(|| async { "paid" }))
///     .route_layer(RecordRouteLayer::new(|extensions| {
///         extensions.get::<MatchedPath>().map(|path| path.as_str().into())
///     }))
///     .layer(HttpLayer::new("payments", Trust::Internal));
/// ```
#[derive(Clone)]
pub struct RecordRouteLayer(RouteOf);

/// The service of [`RecordRouteLayer`].
#[derive(Clone)]
pub struct RecordRoute<S> {
    inner: S,
    route_of: RouteOf,
}

pub(crate) type RouteOf = Arc<dyn Fn(&Extensions) -> Option<Arc<str>> + Send + Sync>;

// === impl RouteTemplate ===

impl RouteTemplate {
    /// A template by its text.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        Self(template.into())
    }

    /// Says which route the request with these extensions took. The first to say so wins.
    pub fn record(extensions: &Extensions, template: impl Into<Arc<str>>) {
        if let Some(slot) = extensions.get::<RouteSlot>() {
            let _ = slot.0.set(Self::new(template));
        }
    }

    /// The template's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl RouteSlot ===

impl RouteSlot {
    pub(crate) fn get(&self) -> Option<&RouteTemplate> {
        self.0.get()
    }

    pub(crate) fn set(&self, template: RouteTemplate) {
        let _ = self.0.set(template);
    }
}

// === impl RecordRouteLayer ===

impl RecordRouteLayer {
    /// Takes the template out of a routed request's extensions.
    pub fn new(route_of: impl Fn(&Extensions) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(route_of))
    }
}

impl<S> Layer<S> for RecordRouteLayer {
    type Service = RecordRoute<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordRoute { inner, route_of: Arc::clone(&self.0) }
    }
}

impl fmt::Debug for RecordRouteLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRouteLayer").finish_non_exhaustive()
    }
}

// === impl RecordRoute ===

impl<S, B> Service<Request<B>> for RecordRoute<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(route) = (self.route_of)(request.extensions()) {
            RouteTemplate::record(request.extensions(), route);
        }
        self.inner.call(request)
    }
}

impl<S: fmt::Debug> fmt::Debug for RecordRoute<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRoute").field("inner", &self.inner).finish_non_exhaustive()
    }
}
