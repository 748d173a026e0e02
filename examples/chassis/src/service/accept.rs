//! The HTTP listener of a service.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How a listener behaves.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AcceptConfig {
    /// Connections at a time; more wait in the listener's backlog.
    ///
    /// The default, 10,000, is what one process holds in sockets without tuning the system's limits far.
    pub max_connections: usize,
    /// How long a request's head may take, and how long a connection may be idle. The default, 75 s, is above the
    /// 60 s that nginx keeps an upstream connection, so that it is nginx that closes.
    pub header_timeout: Duration,
}

// === impl AcceptConfig ===

impl Default for AcceptConfig {
    fn default() -> Self {
        Self { max_connections: 10_000, header_timeout: Duration::from_secs(75) }
    }
}

/// Answers until `shutdown`, then until the requests under way are answered. Upgraded connections are not waited for:
/// they are someone else's by then.
pub(super) async fn run(
    listener: TcpListener,
    router: Router,
    config: AcceptConfig,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (connections, draining) = (TaskTracker::new(), CancellationToken::new());
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(config.header_timeout);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (permit, stream, peer) = tokio::select! {
            // ORDER: shutdown first, or a busy listener could keep us from ever seeing it.
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        let router = router.clone();
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let router = router.clone();
            async move {
                Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {}))
            }
        });
        let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let draining = draining.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let done = tokio::select! {
                done = connection.as_mut() => done,
                () = draining.cancelled() => {
                    // No further request: an idle connection ends now, a busy one after its answer.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // A peer that goes away in the middle is its own business.
            drop((done, permit));
        });
    }
    drop(listener);
    draining.cancel();
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(Option<OwnedSemaphorePermit>, TcpStream, SocketAddr)> {
    // The semaphore is never closed.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    let (stream, peer) = listener.accept().await?;
    // Answers are written whole: waiting for more to send only delays them.
    stream.set_nodelay(true)?;
    Ok((permit, stream, peer))
}

/// Errors of one connection are over at once; those of the process (no file descriptors) need a moment, in which
/// others free some.
async fn pause_after(error: &io::Error) {
    let of_one =
        [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::InvalidInput];
    if !of_one.contains(&error.kind()) {
        tracing::warn!(%error, "the HTTP listener cannot accept");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
