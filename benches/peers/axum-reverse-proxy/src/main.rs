//! axum-reverse-proxy on axum's own server.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::serve::ListenerExt;
use axum_reverse_proxy::{HostBehaviour, ProxyPolicy, ReverseProxy};
use clap::Parser;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

#[derive(Parser)]
struct Args {
    /// Where to listen
    listen: SocketAddr,
    /// Where to forward to
    upstream: SocketAddr,
    /// How many threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// As many idle connections as all of the others keep; its own default is 32.
const MAX_IDLE: usize = 64;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // One thread is the runtime that costs least; more are what its users have.
    let mut runtime = match args.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    runtime.enable_all().build()?.block_on(serve(&args))
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(MAX_IDLE).build(connector);
    let policy = ProxyPolicy::new().with_host_behaviour(HostBehaviour::Preserve).with_public_scheme("http");
    let proxy =
        ReverseProxy::new_with_client("/", format!("http://{}", args.upstream), client).with_policy(policy);
    let app: Router = proxy.into();
    // axum leaves Nagle's algorithm on.
    let listener = TcpListener::bind(args.listen).await.context("cannot listen")?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
