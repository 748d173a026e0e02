//! A gateway: routes in a file, TLS, limits, a drain. `docs/guides/gateway.md` walks through it.
//!
//! ```text
//! cargo run -p tramline-streaming-proxy --example gateway -- routes.toml --http 127.0.0.1:8080
//! ```

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use http::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};
use tramline_streaming_proxy::edge::MinRate;
use tramline_streaming_proxy::edge::redirect::HttpsRedirect;
use tramline_streaming_proxy::edge::tls::{Certificate, Certificates, Tls, TlsConfig};
use tramline_streaming_proxy::layer::body_limit::BodyLimitLayer;
use tramline_streaming_proxy::layer::body_rate::BodyRateLayer;
use tramline_streaming_proxy::layer::rate_limit::{Decision, Limiter, LimiterConfig, Quota, RateLimitLayer};
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::layer::security_headers::security_headers;
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, Peer, ProxyBody, ProxyConfig, Routes, TrustedProxies};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves a table of routes until Ctrl-C or SIGTERM, then drains. SIGHUP reads the table and the certificate again.
#[derive(Debug, Parser)]
struct Args {
    /// The table of routes, in TOML
    routes: PathBuf,
    /// Where http is served; with --https it only redirects there
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where https is served
    #[arg(long, requires = "cert", requires = "key")]
    https: Option<SocketAddr>,
    /// The chain of certificates, in PEM
    #[arg(long)]
    cert: Option<PathBuf>,
    /// The key, in PEM
    #[arg(long)]
    key: Option<PathBuf>,
    /// The networks of the proxies in front, as 10.0.0.0/8,::1; or none
    #[arg(long, default_value = "none")]
    trusted: TrustedProxies,
    /// How many requests an address may make, as 600/min; or off
    #[arg(long, default_value = "600/min", value_parser = Quota::parse)]
    rate: Rate,
}

type Rate = Option<Quota>;

/// What is longer is answered 413.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// What is under way when the end is near may take this long.
const DRAIN: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let mut config = ProxyConfig::default();
    config.trusted = args.trusted.clone();
    // Read before a port opens: a bad table or certificate is no start.
    let forwarder = Forwarder::new(config, table(&args.routes)?);
    let tls = args.certificates().transpose()?.map(|all| Tls::new(all, TlsConfig::default())).transpose()?;

    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    let listener = TcpListener::bind(args.http).await?;
    say(&format!("http on {}", listener.local_addr()?));
    if let (Some(addr), Some(tls)) = (args.https, &tls) {
        let secure = TcpListener::bind(addr).await?;
        let redirect = HttpsRedirect::to_port(secure.local_addr()?.port());
        servers.spawn(serve(listener, redirect, server(None), stop.clone().cancelled_owned()));
        say(&format!("https on {}", secure.local_addr()?));
        let edge = edge(&args, forwarder.clone());
        servers.spawn(serve(secure, edge, server(Some(tls)), stop.clone().cancelled_owned()));
    } else {
        let edge = edge(&args, forwarder.clone());
        servers.spawn(serve(listener, edge, server(None), stop.clone().cancelled_owned()));
    }

    until_told(&args, &forwarder, tls.as_ref()).await?;
    stop.cancel();
    let drained = tokio::time::timeout(DRAIN, async { while servers.join_next().await.is_some() {} }).await;
    // WebSockets have had the same time to say goodbye.
    forwarder.close_tunnels().await;
    say(if drained.is_ok() { "drained" } else { "cut off: what was still under way" });
    Ok(())
}

/// What stands in front of the forwarder, from the outside in.
fn edge(
    args: &Args,
    forwarder: Forwarder,
) -> impl Service<Request<RequestBody>, Response = Response<ProxyBody>, Error = Infallible, Future: Send>
+ Clone
+ use<> {
    let trusted = Arc::new(args.trusted.clone());
    let address = move |request: &Request<RequestBody>| {
        let peer = request.extensions().get::<Peer>()?;
        Some(trusted.client(request.headers(), peer.addr.ip()).to_string())
    };
    ServiceBuilder::new()
        .layer(security_headers())
        .layer(RateLimitLayer::new(
            Limiter::memory("address", args.rate, LimiterConfig::default()),
            address,
            too_many,
        ))
        .layer(RespondLayer::new())
        .layer(BodyRateLayer::new(MinRate::default()))
        .layer(BodyLimitLayer::new(MAX_BODY))
        .service(forwarder)
}

fn too_many(_: &Decision, _: Request<RequestBody>) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::from("too many requests\n".to_owned()));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response
}

/// A listener that clients reach directly.
fn server(tls: Option<&Tls>) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.max_connections_per_address = Some(100);
    config.tls = tls.cloned();
    config
}

/// The table. The addresses that it takes `from` somewhere are in variables of those names.
fn table(path: &Path) -> Result<Routes, BoxError> {
    Ok(Routes::from_toml(&std::fs::read_to_string(path)?, |name| std::env::var(name).ok())?)
}

/// Reads again what is in files at SIGHUP, and returns at Ctrl-C or SIGTERM.
async fn until_told(args: &Args, forwarder: &Forwarder, tls: Option<&Tls>) -> Result<(), BoxError> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut told = pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    loop {
        tokio::select! {
            () = &mut told => return Ok(()),
            _ = hangup.recv() => {}
        }
        match table(&args.routes) {
            Ok(routes) => {
                forwarder.set_routes(routes);
                say("routes were read");
            }
            Err(faults) => say(&format!("routes stay as they were: {faults}")),
        }
        if let Some(tls) = tls {
            let load = || args.certificates().ok_or("no certificate")?;
            let result = tls.reload(load);
            say(if result.is_ok() { "the certificate was read" } else { "the certificate stays" });
        }
    }
}

/// A closed standard output is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

// === impl Args ===

impl Args {
    fn certificates(&self) -> Option<Result<Certificates, BoxError>> {
        let (cert, key) = (self.cert.as_ref()?, self.key.as_ref()?);
        let read = || {
            let certificate = Certificate::from_pem(&std::fs::read(cert)?, &std::fs::read(key)?)?;
            Ok(Certificates::new([certificate])?)
        };
        Some(read())
    }
}
