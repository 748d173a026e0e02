//! The gateway's routes.

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use chassis::auth::not_implemented_for_anyone as later;
use chassis::client_addr::ClientAddr;
use chassis::problem::{Code, Problem};
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Method};
use std::net::SocketAddr;
use std::time::Duration;
use tower::ServiceExt;
use tower_http::cors::CorsLayer;
use tramline_streaming_proxy::layer::security_headers::security_headers;
use tramline_streaming_proxy::{Peer, path};
use tramline_ws_rooms::{PeerInfo, Refusal};

use crate::health::SystemHealth;
use crate::limits::{Limits, limit};
use crate::page;
use crate::proxying::Proxy;
use crate::sockets::Sockets;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) proxy: Proxy,
    pub(crate) sockets: Sockets,
    pub(crate) health: SystemHealth,
}

/// How long a browser keeps the answer to a preflight: Chrome's own bound is two hours.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(2 * 3_600);

pub(crate) fn router(state: State, limits: Limits, origins: &[String]) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ws", get(socket))
        // Of processes only, at auth's own port: what was revoked is nobody else's business.
        .route("/api/auth/.well-known/revocations", any(nowhere))
        .route("/api/telemetry", post(later))
        .route("/api/docs", get(later))
        .route("/api/docs.json", get(later))
        .route("/api/graphql", get(later).post(later))
        // All else under `/api` goes by the table of routes.
        .route("/api", any(forward))
        .route("/api/", any(forward))
        .route("/api/{*rest}", any(forward))
        .fallback(fallback)
        .layer(middleware::from_fn_with_state(limits, limit))
        .layer(cors(origins))
        .layer(security_headers())
        .with_state(state)
}

async fn health(Shared(state): Shared<State>) -> Result<Json<serde_json::Value>, Problem> {
    if state.health.is_well().await {
        Ok(Json(serde_json::json!({ "status": "ok" })))
    } else {
        Err(Problem::unavailable("not everything is ready"))
    }
}

async fn nowhere() -> Problem {
    Problem::not_found()
}

async fn forward(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    // The router and the limits have read the path as it is spelled, and the proxy sends its normal form: another
    // spelling of one of their paths must not get past them.
    if path::normal(request.uri().path()).is_ok_and(|path| !path.is_unchanged()) {
        return Problem::not_found().into_response();
    }
    // The listener knows more of it, TLS for one.
    request.extensions_mut().get_or_insert_with(|| Peer::new(peer));
    match state.proxy.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

async fn socket(
    Shared(state): Shared<State>,
    ClientAddr(addr): ClientAddr,
    request: Request,
) -> Result<Response, Problem> {
    match state.sockets.rooms().upgrade(request, PeerInfo::new(addr)).await {
        Ok(response) => Ok(response.map(|()| Body::empty())),
        Err(refusal) => Err(problem(&refusal)),
    }
}

/// A refused upgrade, in the system's words.
fn problem(refusal: &Refusal) -> Problem {
    let code = match refusal.code {
        "UNAUTHENTICATED" => Code::UNAUTHENTICATED,
        "TOKEN_EXPIRED" => Code::TOKEN_EXPIRED,
        "TOKEN_REVOKED" => Code::TOKEN_REVOKED,
        "FORBIDDEN" => Code::FORBIDDEN,
        "RATE_LIMITED" => Code::RATE_LIMITED,
        "UPGRADE_REQUIRED" => Code::UPGRADE_REQUIRED,
        _ => Code::UNAVAILABLE,
    };
    let mut headers = http::HeaderMap::new();
    refusal.apply_headers(&mut headers);
    let problem = Problem::with_status(refusal.status, code, refusal.detail.clone());
    headers
        .into_iter()
        .filter_map(|(name, value)| Some((name?, value)))
        .fold(problem, |problem, (name, value)| problem.header(name, value))
}

/// Outside of `/api` every GET is the front end's.
async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        page::file(path)
    } else {
        Problem::new(Code::METHOD_NOT_ALLOWED, "pages are only read").into_response()
    }
}

/// Other origins' pages, by the list and nothing else.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let asked = ["idempotency-key", "x-request-id", "traceparent", "tracestate", "if-none-match"];
    let shown = ["x-request-id", "traceparent", "ratelimit", "ratelimit-policy"];
    CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(
            [AUTHORIZATION, CONTENT_TYPE]
                .into_iter()
                .chain(asked.map(HeaderName::from_static))
                .collect::<Vec<_>>(),
        )
        .expose_headers(
            [ETAG, RETRY_AFTER].into_iter().chain(shown.map(HeaderName::from_static)).collect::<Vec<_>>(),
        )
        .max_age(PREFLIGHT_KEPT)
}
