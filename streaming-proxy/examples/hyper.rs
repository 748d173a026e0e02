//! The forwarder in a server of plain hyper: no tower stack, errors answered by hand.
//!
//! ```text
//! cargo run -p tramline-streaming-proxy --example hyper -- 127.0.0.1:8080 http://127.0.0.1:9000
//! ```
//!
//! A server of one's own owes the forwarder one thing, the [`Peer`] among a request's extensions: without it no
//! forwarding headers are written. It owes its clients a timer for heads, a bound for connections and a drain, which are
//! here too. What `tramline_streaming_proxy::server` has beyond that is left out: lingering after early answers, and
//! limits for slow readers.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tramline_streaming_proxy::{
    Forwarder, Peer, ProxyBody, ProxyConfig, Route, Routes, Upstream, UpstreamConfig,
};

/// Forwards everything to one upstream, until Ctrl-C or SIGTERM; then it drains.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 is any, and printed
    listen: SocketAddr,
    /// Where to forward to, as http://127.0.0.1:9000
    upstream: String,
}

/// As many as the server of the crate takes.
const MAX_CONNECTIONS: usize = 10_000;

/// For what is under way when the end is near.
const DRAIN: Duration = Duration::from_secs(20);

/// For a file that is closed meanwhile, when there are none left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let upstream = Upstream::new("upstream", [args.upstream], UpstreamConfig::default())?;
    let forwarder = Forwarder::new(ProxyConfig::default(), Routes::new([Route::new("/", upstream)])?);

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut stop = pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    let listener = TcpListener::bind(args.listen).await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;

    let mut server = http1::Builder::new();
    // Without a timer hyper waits for a head for ever.
    server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (draining, connections) = (CancellationToken::new(), TaskTracker::new());
    loop {
        let accept = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accept => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, addr)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let forwarder = forwarder.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer::new(addr));
            answer(forwarder.clone(), request)
        });
        // `with_upgrades`: without it no WebSocket gets through.
        let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let draining = draining.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = draining.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tell(&format!("{addr}: {error}"));
            }
            drop(place);
        });
    }
    drop(listener);
    // Idle connections end now, the others with the answer that is under way.
    draining.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tell("cut off: what was still under way");
    }
    Ok(())
}

/// The upstream's answer, or one of ours: the error knows its status, and what may be told outside.
async fn answer(forwarder: Forwarder, request: Request<Incoming>) -> Result<Response<ProxyBody>, Infallible> {
    let error = match forwarder.oneshot(request).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    // The causes name addresses: they are for here.
    tell(&format!("{error:?}"));
    let mut response = Response::new(ProxyBody::from(format!("{}: {}\n", error.code(), error.kind())));
    *response.status_mut() = error.status();
    Ok(response)
}

/// A closed standard error is no reason to stop.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
