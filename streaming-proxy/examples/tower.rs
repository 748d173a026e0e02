//! A stack of tower layers around the forwarder: limits, answers of one's own, and a place where each error is seen.
//!
//! ```text
//! cargo run -p tramline-streaming-proxy --example tower -- 127.0.0.1:8080 http://127.0.0.1:9000 --rate 100/min
//! ```
//!
//! Between the forwarder and [`RespondLayer`] the error is a [`ProxyError`]: layers there see what failed, at which
//! stage, and how much of the request was sent. In front of `RespondLayer` there are answers only.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use hyper::header::CONTENT_TYPE;
use hyper::http::HeaderValue;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::ServiceBuilder;
use tramline_streaming_proxy::edge::MinRate;
use tramline_streaming_proxy::layer::body_limit::BodyLimitLayer;
use tramline_streaming_proxy::layer::body_rate::BodyRateLayer;
use tramline_streaming_proxy::layer::rate_limit::{Decision, Limiter, LimiterConfig, Quota, RateLimitLayer};
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::layer::security_headers::security_headers;
use tramline_streaming_proxy::respond::Inbound;
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};
use tramline_streaming_proxy::{
    Forwarder, Peer, ProxyBody, ProxyConfig, ProxyError, Route, Routes, Upstream, UpstreamConfig,
};

/// Forwards to one upstream, within limits, until Ctrl-C or SIGTERM; then it drains.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 is any, and printed
    listen: SocketAddr,
    /// Where to forward to, as http://127.0.0.1:9000
    upstream: String,
    /// How many requests an address may make, as 100/min; or off
    #[arg(long, default_value = "100/min")]
    rate: String,
    /// How many bytes a request's body may have
    #[arg(long, default_value_t = 1024 * 1024)]
    max_body: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let quota = Quota::parse(&args.rate).context("--rate")?;
    let upstream = Upstream::new("upstream", [args.upstream], UpstreamConfig::default())?;
    let forwarder = Forwarder::new(ProxyConfig::default(), Routes::new([Route::new("/", upstream)])?);

    // From the outside in. Refusals of a limit get the security headers too, and cost no upstream anything.
    let service = ServiceBuilder::new()
        .layer(security_headers())
        .layer(RateLimitLayer::new(
            Limiter::memory("address", quota, LimiterConfig::default()),
            address,
            too_many,
        ))
        .layer(RespondLayer::with(words).named("example"))
        .map_err(note)
        .layer(BodyRateLayer::new(MinRate::default()))
        .layer(BodyLimitLayer::new(args.max_body))
        .service(forwarder);

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shutdown = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let listener = TcpListener::bind(args.listen).await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    serve(listener, service, ServerConfig::default(), shutdown).await;
    Ok(())
}

/// Whose bucket a request takes from. Behind a proxy it would be `TrustedProxies::client`, or all would share one.
fn address(request: &Request<RequestBody>) -> Option<String> {
    request.extensions().get::<Peer>().map(|peer| peer.addr.ip().to_string())
}

/// `Retry-After` and `RateLimit` are the layer's.
fn too_many(_: &Decision, _: Request<RequestBody>) -> Response<ProxyBody> {
    plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n".to_owned())
}

/// The answer to what could not be passed on; `Proxy-Status` and the like are the layer's.
fn words(error: &ProxyError, request: &Inbound) -> Response<ProxyBody> {
    plain(error.status(), format!("{} {}: {}\n", request.method, request.uri.path(), error.code()))
}

/// Sees each error on its way: here it is told, with all that outside is nobody's business.
fn note(error: ProxyError) -> ProxyError {
    let (stage, sent, side) = (error.stage(), error.sent(), error.side());
    let line = format!("{error} (stage {stage:?}, sent {sent:?}, fault of {side:?})");
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
    error
}

fn plain(status: StatusCode, text: String) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
