//! Tunnels: what remains of a connection after `101 Switching Protocols`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use metrics::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::download::Exchange;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::Outcome;
use crate::upstream::Upstream;

/// The open tunnels of a proxy.
#[derive(Debug)]
pub(crate) struct Tunnels {
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    /// Ends them all.
    closed: CancellationToken,
    idle: Option<Duration>,
    open: Gauge,
}

/// The right to one tunnel: of those of the proxy, and of those of the upstream.
pub(crate) struct Permit {
    _permits: [OwnedSemaphorePermit; 2],
    open: Gauge,
}

/// Counts what passes, in either direction.
struct Counted<T> {
    inner: T,
    moved: Arc<AtomicU64>,
}

/// How much one read takes at most, in each direction.
///
/// 8 KiB holds nearly every WebSocket message, and 10,000 tunnels cost 160 MiB at most.
const BUFFER: usize = 8 * 1024;

// === impl Tunnels ===

impl Tunnels {
    pub(crate) fn new(max: usize, idle: Option<Duration>) -> Self {
        Self {
            tasks: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            closed: CancellationToken::new(),
            idle,
            open: metrics::gauge!("streaming_proxy.tunnels"),
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn permit(&self, upstream: &Upstream) -> Result<Permit, ProxyError> {
        let ours = self.permits.clone().try_acquire_owned().ok();
        let Some(permits) = ours.zip(upstream.tunnel()) else {
            return Err(ProxyError::new(ErrorKind::Overloaded).because("too many tunnels"));
        };
        self.open.increment(1.0);
        Ok(Permit { _permits: permits.into(), open: self.open.clone() })
    }

    /// Copies between the two until both directions have ended. A direction that ends is passed on as such, and the
    /// other one stays open.
    pub(crate) fn spawn(
        &self,
        client: OnUpgrade,
        upstream: OnUpgrade,
        mut exchange: Exchange,
        permit: Permit,
    ) {
        exchange.turn.release();
        let closed = self.closed.clone();
        let idle = self.idle;
        self.tasks.spawn(async move {
            let _permit = permit;
            // ORDER: first, so that an open tunnel ends even if its bytes never do.
            let run = async {
                tokio::select! {
                    biased;
                    () = closed.cancelled() => {}
                    () = copy(client, upstream, idle) => {}
                }
            };
            run.await;
            exchange.accounts.end(Outcome::Tunnelled);
        });
    }

    /// Ends all tunnels, and refuses new ones.
    pub(crate) async fn close(&self) {
        self.permits.close();
        self.closed.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn copy(client: OnUpgrade, upstream: OnUpgrade, idle: Option<Duration>) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "an upgrade was not completed");
            return;
        }
    };
    let moved = Arc::new(AtomicU64::new(0));
    let mut client = Counted { inner: TokioIo::new(client), moved: moved.clone() };
    let mut upstream = Counted { inner: TokioIo::new(upstream), moved: moved.clone() };
    let copied =
        async { tokio::io::copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await };
    let silent = async {
        let Some(limit) = idle else { return std::future::pending().await };
        let mut before = moved.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let now = moved.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    };
    tokio::select! {
        result = copied => if let Err(error) = result {
            tracing::debug!(error = &error as &dyn std::error::Error, "a tunnel broke");
        },
        () = silent => tracing::debug!("a tunnel was silent for too long"),
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

// === impl Counted ===

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        // Whatever is read is written next: counting one half is enough.
        self.moved.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
