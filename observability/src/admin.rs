//! The listener for those who run the process: `/livez`, `/readyz`, `/metrics`. Never the public one.

mod answer;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::health::Health;
use crate::metrics::MetricsHandle;

/// What [`serve`] shows, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminConfig {
    /// What `/metrics` shows; `None` is 404.
    pub metrics: Option<MetricsHandle>,
    /// Whose readiness `/readyz` tells: all of them must be ready.
    pub healths: Vec<Health>,
    /// Connections at a time; more wait in the listener's backlog. The default, 32, is a scraper, a balancer and
    /// some people.
    pub max_connections: usize,
    /// How long a request's head may take, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// How long requests under way may take after the shutdown. The default, 1 s, is a scrape.
    pub drain: Duration,
}

/// Answers until `shutdown` completes.
///
/// `/livez` is 200 as long as the process answers, and asks no dependency: a restart would not bring one back.
/// `/readyz` is 200 when each health is ready or degraded, else 503. Other paths are 404, other methods than GET
/// and HEAD 405.
pub async fn serve(listener: TcpListener, config: AdminConfig, shutdown: impl Future<Output = ()> + Send) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(config.max_connections.max(1)));
    let config = Arc::new(config);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(config.header_timeout);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            // ORDER: shutdown first, or a busy listener could keep us from ever seeing it.
            biased;
            () = &mut shutdown => break,
            (permit, accepted) = accepted => match accepted {
                Ok((stream, _)) => (permit, stream),
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        let config = Arc::clone(&config);
        let service = service_fn(move |request| {
            let config = Arc::clone(&config);
            async move { Ok::<_, Infallible>(answer::answer(&request, &config).await) }
        });
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A peer that goes away in the middle is its own business.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    // Connections left after that end with the runtime.
    let _ = timeout(config.drain, graceful.shutdown()).await;
}

// === impl AdminConfig ===

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            metrics: None,
            healths: Vec::new(),
            max_connections: 32,
            header_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(1),
        }
    }
}

/// Errors of one connection are over at once; those of the process (no file descriptors) need a moment, in which
/// others free some.
async fn pause_after(error: &io::Error) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    ) {
        tracing::warn!(%error, "the admin listener cannot accept");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
