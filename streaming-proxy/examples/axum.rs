//! An axum application with routes of its own, which passes everything else on.
//!
//! ```text
//! cargo run -p tramline-streaming-proxy --example axum -- 127.0.0.1:8080 http://127.0.0.1:9000
//! ```
//!
//! The application is served by the server of this crate, which puts the peer into each request and bounds what
//! `axum::serve` leaves open: slow heads, slow readers, the number of connections, the drain.

use std::io::Write as _;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Parser;
use http_body_util::Empty;
use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::{ServiceBuilder, ServiceExt};
use tramline_streaming_proxy::layer::body_limit::BodyLimitLayer;
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::layer::security_headers::security_headers;
use tramline_streaming_proxy::server::{ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig, path};

/// Serves its own routes, and passes the rest on to one upstream, until Ctrl-C or SIGTERM; then it drains.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 is any, and printed
    listen: SocketAddr,
    /// Where to forward to, as http://127.0.0.1:9000
    upstream: String,
}

/// What the upstream takes; axum's own limit is for its extractors, and does not reach what is passed on.
const MAX_BODY: usize = 10 * 1024 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let upstream = Upstream::new("upstream", [args.upstream], UpstreamConfig::default())?;
    let routes = Routes::new([Route::new("/", upstream)])?;
    let app = app(Forwarder::new(ProxyConfig::default(), routes));

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shutdown = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let listener = TcpListener::bind(args.listen).await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    serve(listener, app, ServerConfig::default(), shutdown).await;
    Ok(())
}

/// Routes of its own, the proxy for all others, and layers around both.
fn app(forwarder: Forwarder) -> Router {
    let proxy = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(BodyLimitLayer::new(MAX_BODY))
        .service(forwarder.clone());
    Router::new()
        .route("/healthz", get(health))
        .with_state(forwarder)
        .fallback_service(proxy)
        .layer(middleware::from_fn(not_from_outside))
        .layer(security_headers())
}

/// A handler that asks the upstream itself: the forwarder is a client too, with the same connections and bounds.
async fn health(State(forwarder): State<Forwarder>) -> Response {
    let Ok(request) = Request::head("/").header("host", "localhost").body(Empty::<Bytes>::new()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match forwarder.oneshot(request).await {
        Ok(answer) if !answer.status().is_server_error() => "ok\n".into_response(),
        Ok(answer) => (StatusCode::SERVICE_UNAVAILABLE, answer.status().to_string()).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.code()).into_response(),
    }
}

/// What is below `/internal` is there for nobody outside, in whatever way it is spelled: the proxy sends the normal
/// form of a path, so that is what a guard in front of it has to read.
async fn not_from_outside(request: Request, next: Next) -> Response {
    match path::normal(request.uri().path()) {
        Ok(path) if path.as_str() == "/internal" || path.as_str().starts_with("/internal/") => {
            StatusCode::NOT_FOUND.into_response()
        }
        // What has no normal form is refused by the proxy, which says why.
        _ => next.run(request).await,
    }
}
