//! Our proxy as a gateway has it: a table of routes, limits, the recorder of metrics, and TLS if asked for. The example
//! `forward` of the crate has nothing of that.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use http::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tower::ServiceBuilder;
use tramline_observability::metrics::{Recorder, RecorderConfig};
use tramline_streaming_proxy::config::HostHeader;
use tramline_streaming_proxy::edge::MinRate;
use tramline_streaming_proxy::edge::tls::{Certificate, Certificates, Tls, TlsConfig};
use tramline_streaming_proxy::layer::body_limit::BodyLimitLayer;
use tramline_streaming_proxy::layer::body_rate::BodyRateLayer;
use tramline_streaming_proxy::layer::rate_limit::{Limiter, LimiterConfig, Quota, RateLimitLayer};
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::route::Rewrite;
use tramline_streaming_proxy::server::{ServerConfig, serve};
use tramline_streaming_proxy::{
    Forwarder, Peer, ProxyBody, ProxyConfig, Route, Routes, Upstream, UpstreamConfig,
};

#[derive(Debug, Parser)]
struct Args {
    /// Where to listen
    listen: SocketAddr,
    /// Where to forward to
    upstream: SocketAddr,
    /// How many routes, beside the one for everything else
    #[arg(long, default_value_t = 10)]
    routes: u32,
    /// A folder with cert.pem and key.pem: TLS
    #[arg(long)]
    tls: Option<PathBuf>,
}

/// Both sides of 10,000 connections, and some.
const MAX_CONNECTIONS: usize = 50_000;

/// More than one processor can serve, so that all are counted and none is refused.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000_000).expect("it is not zero");

/// As much as a measured upload has.
const MAX_BODY: usize = 1 << 30;

/// Runs it on one thread until it is killed.
///
/// # Errors
///
/// If it cannot listen, or there is no certificate where it should be.
pub fn run() -> anyhow::Result<()> {
    let args = Args::parse();
    let _recorder = Recorder::global(&RecorderConfig::default()).context("the recorder")?;
    let mut config = ProxyConfig::default();
    config.host = HostHeader::Preserve;
    let forwarder = Forwarder::new(config, routes(args.upstream, args.routes)?);
    let limiter = Limiter::memory(
        "address",
        Some(Quota::new(PER_SECOND, Duration::from_secs(1))),
        LimiterConfig::default(),
    );
    let address =
        |request: &Request<_>| request.extensions().get::<Peer>().map(|peer| peer.addr.ip().to_string());
    let refuse = |_: &_, _| {
        let mut response = Response::new(ProxyBody::empty());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    };
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(limiter, address, refuse))
        .layer(RespondLayer::new())
        .layer(BodyLimitLayer::new(MAX_BODY))
        .layer(BodyRateLayer::new(MinRate::default()))
        .service(forwarder);
    let mut config = ServerConfig::default();
    config.max_connections = MAX_CONNECTIONS;
    config.max_connections_per_address = Some(MAX_CONNECTIONS);
    config.tls = args.tls.as_deref().map(tls).transpose()?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(args.listen).await.context("cannot listen")?;
        serve(listener, service, config, std::future::pending()).await;
        anyhow::Ok(())
    })
}

/// `/shop-00000/v1/…` and so on, of three kinds in turns, and all else. What they strip is what the load program puts
/// before its paths.
fn routes(upstream: SocketAddr, count: u32) -> anyhow::Result<Routes> {
    let upstream = Upstream::new("origin", [upstream.to_string()], UpstreamConfig::default())?;
    let route = |number: u32| {
        let prefix = format!("/shop-{number:05}");
        match number % 3 {
            0 => Route::new(format!("{prefix}/v1"), upstream.clone())
                .with_rewrite(Rewrite::strip(format!("{prefix}/v1"))),
            1 => Route::pattern(format!("{prefix}/{{version}}/{{*rest}}"), upstream.clone())
                .with_rewrite(Rewrite::template("/{*rest}")),
            _ => Route::new(format!("{prefix}/v1"), upstream.clone())
                .with_host("shop.example")
                .with_rewrite(Rewrite::strip(format!("{prefix}/v1"))),
        }
    };
    let all = (0..count).map(route).chain([Route::new("/", upstream.clone())]);
    Ok(Routes::new(all)?)
}

fn tls(folder: &Path) -> anyhow::Result<Tls> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let certificate = Certificate::from_pem(&read("cert.pem")?, &read("key.pem")?)?;
    Ok(Tls::new(Certificates::new([certificate])?, TlsConfig::default())?)
}
