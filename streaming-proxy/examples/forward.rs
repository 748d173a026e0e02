//! The full forwarder in front of one upstream, with forwarding headers on and nothing else: no routes, no limits, no
//! recorder of metrics. For protocol suites and load tools from outside.
//!
//! ```text
//! cargo run --release -p tramline-streaming-proxy --example forward -- 127.0.0.1:8080 http://127.0.0.1:9000 --threads 2
//! ```
//!
//! Each thread is a runtime of its own with its own listener, proxy and kept connections: they share the port
//! (`SO_REUSEPORT`) and nothing else, so that no request changes the thread.

use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;

use anyhow::{Context, ensure};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tower::ServiceBuilder;
use tramline_streaming_proxy::config::HostHeader;
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::server::{ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

/// Forwards everything to one upstream, until Ctrl-C or SIGTERM; then it drains.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 is any, and printed
    listen: SocketAddr,
    /// Where to forward to, as http://127.0.0.1:9000
    upstream: String,
    /// How many threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Take HTTP/2 too, from clients that begin with it (without TLS)
    #[arg(long)]
    h2c: bool,
}

/// More than a load tool opens. The library's default is for a gateway with a memory to keep.
const MAX_CONNECTIONS: usize = 50_000;

/// As nginx's configurations for many connections have it; Linux takes the least of this and `somaxconn`.
const BACKLOG: i32 = 4096;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Checked before a port opens.
    drop(forwarder(&args.upstream)?);
    let mut addr = args.listen;
    let mut listeners = Vec::new();
    for _ in 0..args.threads {
        let listener = listen(addr).with_context(|| format!("cannot listen on {addr}"))?;
        // The first one chooses the port, if the user did not.
        addr = listener.local_addr()?;
        listeners.push(listener);
    }
    let (stop, stopped) = watch::channel(());
    let workers: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let (upstream, stopped) = (args.upstream.clone(), stopped.clone());
            let mut config = ServerConfig::default();
            config.max_connections = MAX_CONNECTIONS;
            config.h2c = args.h2c;
            thread::spawn(move || work(listener, config, &upstream, stopped))
        })
        .collect();
    drop(stopped);
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(until_told(&stop, addr))?;
    drop(stop);
    for worker in workers {
        ensure!(worker.join().is_ok_and(|result| result.is_ok()), "a thread failed");
    }
    Ok(())
}

/// Says where it listens, and returns at Ctrl-C or SIGTERM, or when no thread is left.
async fn until_told(stop: &watch::Sender<()>, addr: SocketAddr) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    writeln!(std::io::stdout(), "listening on {addr}")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stop.closed() => {}
    }
    Ok(())
}

/// One thread: its runtime, its listener, its proxy.
fn work(
    listener: std::net::TcpListener,
    config: ServerConfig,
    upstream: &str,
    mut stopped: watch::Receiver<()>,
) -> anyhow::Result<()> {
    let proxy = ServiceBuilder::new().layer(RespondLayer::new()).service(forwarder(upstream)?);
    // Its sender is dropped to stop us.
    let shutdown = async move { while stopped.changed().await.is_ok() {} };
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        serve(listener, proxy, config, shutdown).await;
        anyhow::Ok(())
    })
}

fn forwarder(upstream: &str) -> anyhow::Result<Forwarder> {
    let mut config = ProxyConfig::default();
    config.host = HostHeader::Preserve;
    let upstream = Upstream::new("upstream", [upstream], UpstreamConfig::default())?;
    Ok(Forwarder::new(config, Routes::new([Route::new("/", upstream)])?))
}

/// A listener that shares its port with those of the other threads.
fn listen(addr: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
