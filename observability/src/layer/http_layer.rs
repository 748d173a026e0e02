//! Request id, server span and metrics of each request, in that order, in one layer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::CONTENT_LENGTH;
use http::{Extensions, Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::{Span, field};

use crate::correlation::RequestId;
use crate::layer::body::HttpBody;
use crate::layer::red::{Red, Tracked, method_name};
use crate::layer::route::{RouteOf, RouteSlot, RouteTemplate};
use crate::trace_context::{self, BAGGAGE, TraceContext, Trust};

/// Longest path kept in a span. Paths of ours are shorter; a scanner's need not be kept whole.
const MAX_PATH: usize = 256;

/// What a service puts around all of its HTTP.
///
/// - The request's id is kept if it is good, else made; it is in the request's extensions
///   ([`RequestId`]), in its headers for whom it is passed on to, and in the response's.
/// - A server span continues the caller's trace, or begins one. Its context is in the request's extensions
///   ([`TraceContext`]), in the request's headers, so that a proxy passes on this span and not its parent, and in
///   the response's. From [`Trust::Public`] callers neither the sampling decision nor baggage is taken.
/// - `http.server.request.duration` and `http.server.active_requests` count the request once it is over: at the
///   end of the response's body, or when it is cancelled or panics.
///
/// Install the metrics recorder before; put this outside the router, and [`RecordRouteLayer`] inside.
///
/// [`RecordRouteLayer`]: crate::layer::RecordRouteLayer
#[derive(Clone)]
pub struct HttpLayer {
    red: Arc<Red>,
    service: Arc<str>,
    trust: Trust,
    route_of: Option<RouteOf>,
}

/// The service of [`HttpLayer`].
#[derive(Clone)]
pub struct Http<S> {
    inner: S,
    layer: HttpLayer,
}

pin_project! {
    /// The future of [`Http`].
    pub struct HttpFuture<F> {
        #[pin]
        inner: F,
        tracked: Option<Tracked>,
        request_id: RequestId,
        context: TraceContext,
        head: bool,
    }
}

// === impl HttpLayer ===

impl HttpLayer {
    /// The layer of `service`, whose callers are to be trusted, or not.
    #[must_use]
    pub fn new(service: impl Into<Arc<str>>, trust: Trust) -> Self {
        let service = service.into();
        Self { red: Arc::new(Red::new(Arc::clone(&service), true)), service, trust, route_of: None }
    }

    /// Without a log line for each request.
    #[must_use]
    pub fn without_access_log(self) -> Self {
        Self { red: Arc::new(Red::new(Arc::clone(&self.service), false)), ..self }
    }

    /// Takes the route's template out of the request's extensions when it comes, for a layer that is *inside* a
    /// router, as axum's `Router::layer` puts it.
    #[must_use]
    pub fn with_route_of(
        self,
        route_of: impl Fn(&Extensions) -> Option<Arc<str>> + Send + Sync + 'static,
    ) -> Self {
        Self { route_of: Some(Arc::new(route_of)), ..self }
    }

    /// Reads the head and writes into it; returns what the response needs.
    fn begin<B>(&self, request: &mut Request<B>) -> (Tracked, RequestId, TraceContext) {
        let request_id = RequestId::from_headers(request.headers());
        request_id.inject(request.headers_mut());

        let parent = TraceContext::from_headers(request.headers());
        let span = self.span(request, &request_id);
        if let Some(parent) = &parent {
            // Fails only without an OpenTelemetry layer, where the span has no ids at all.
            trace_context::continue_with(&span, parent, self.trust);
        }
        let context = trace_context::of_span(&span).unwrap_or_else(|| match parent {
            Some(parent) => parent.child(),
            None => TraceContext::root(false),
        });
        context.inject(request.headers_mut());
        if self.trust == Trust::Public {
            request.headers_mut().remove(BAGGAGE);
        }

        let slot = RouteSlot::default();
        if let Some(route) = self.route_of.as_ref().and_then(|of| of(request.extensions())) {
            slot.set(RouteTemplate(route));
        }
        let tracked = self.red.track(request.method(), slot.clone(), span);
        let extensions = request.extensions_mut();
        extensions.insert(request_id.clone());
        extensions.insert(context.clone());
        extensions.insert(slot);
        (tracked, request_id, context)
    }

    fn span<B>(&self, request: &Request<B>, request_id: &RequestId) -> Span {
        let method = method_name(request.method());
        let path = request.uri().path();
        let end = (0..=path.len().min(MAX_PATH)).rev().find(|&at| path.is_char_boundary(at)).unwrap_or(0);
        // The query is left out: it is where tokens and addresses are.
        tracing::info_span!(
            parent: None,
            "http.request",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = field::Empty,
            service = &*self.service,
            request_id = request_id.as_str(),
            http.request.method = method,
            url.path = &path[..end],
            http.route = field::Empty,
            http.response.status_code = field::Empty,
            "error.type" = field::Empty,
        )
    }
}

impl<S> Layer<S> for HttpLayer {
    type Service = Http<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Http { inner, layer: self.clone() }
    }
}

impl fmt::Debug for HttpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLayer")
            .field("service", &self.service)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

// === impl Http ===

impl<S, Req, Res> Service<Request<Req>> for Http<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    Res: Body,
{
    type Response = Response<HttpBody<Res>>;
    type Error = S::Error;
    type Future = HttpFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        let head = request.method() == Method::HEAD;
        let (mut tracked, request_id, context) = self.layer.begin(&mut request);
        tracked.polling();
        let inner = {
            let span = tracked.span.clone();
            let _entered = span.enter();
            self.inner.call(request)
        };
        tracked.polled();
        HttpFuture { inner, tracked: Some(tracked), request_id, context, head }
    }
}

impl<S: fmt::Debug> fmt::Debug for Http<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

// === impl HttpFuture ===

impl<F, B, E> Future for HttpFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<HttpBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let tracked = this.tracked.as_mut().expect("polled after completion");
        tracked.polling();
        let polled = {
            let span = tracked.span.clone();
            let _entered = span.enter();
            this.inner.poll(cx)
        };
        tracked.polled();
        let Poll::Ready(result) = polled else {
            return Poll::Pending;
        };
        let mut tracked = this.tracked.take().expect("polled after completion");
        let mut response = match result {
            Ok(response) => response,
            Err(error) => {
                tracked.complete();
                return Poll::Ready(Err(error));
            }
        };
        this.request_id.inject(response.headers_mut());
        this.context.inject(response.headers_mut());
        let route = response.extensions_mut().remove::<RouteTemplate>();
        tracked.answered(response.status(), route);
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let bodiless = *this.head
            || matches!(
                response.status(),
                StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        Poll::Ready(Ok(response.map(|body| HttpBody::new(body, tracked, length, bodiless))))
    }
}

impl<F> fmt::Debug for HttpFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFuture").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}
