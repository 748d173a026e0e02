//! One address: its turnstile, its connections, its health.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::UpstreamConfig;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::UpstreamMetrics;
use crate::upstream::health::Health;
use crate::upstream::pool::{Connection, Pool};

/// One address of an upstream.
pub(crate) struct Endpoint {
    authority: Authority,
    host: HeaderValue,
    port: u16,
    turns: Arc<Semaphore>,
    load: AtomicUsize,
    waiting: AtomicUsize,
    pool: Arc<Pool>,
    config: UpstreamConfig,
    metrics: UpstreamMetrics,
    pub(crate) health: Health,
}

/// A request's turn at an address, from before it is sent until its answer has ended, or its tunnel is open.
pub(crate) struct Turn {
    endpoint: Arc<Endpoint>,
    /// `None` once it is a tunnel.
    permit: Option<OwnedSemaphorePermit>,
}

/// How long a request waits for kept connections to be ready, all of them together, before it gets a new one.
///
/// They need one turn of the runtime. One that needs longer has something left to write that the upstream does not
/// read, and is no use to anybody.
const READY_WITHIN: Duration = Duration::from_millis(50);

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn parse(
        address: &str,
        config: &UpstreamConfig,
        metrics: &UpstreamMetrics,
    ) -> Result<Self, ProxyError> {
        let uri: Uri =
            address.parse().map_err(|cause| ProxyError::config("an upstream's address").with(cause))?;
        if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
            return Err(ProxyError::config("an upstream's address must be http"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(ProxyError::config("an upstream's address has no path: rewrite in the route"));
        }
        let authority =
            uri.authority().cloned().ok_or_else(|| ProxyError::config("an upstream's address"))?;
        if authority.as_str().contains('@') {
            return Err(ProxyError::config("an upstream's address has no user"));
        }
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|cause| ProxyError::config("an upstream's address").with(cause))?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            port,
            host,
            authority,
            turns: Arc::new(Semaphore::new(config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS))),
            load: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            pool: Pool::new(config, metrics),
            config: config.clone(),
            metrics: metrics.clone(),
            health: Health::new(config),
        })
    }

    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// What `Host` says when the client's own is not preserved.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// How busy it is: requests in flight and tunnels.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Waits for a turn, within the bounds.
    pub(crate) async fn turn(self: Arc<Self>) -> Result<Turn, ProxyError> {
        let permit = match self.turns.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        self.load.fetch_add(1, Ordering::Relaxed);
        self.metrics.in_flight.increment(1.0);
        Ok(Turn { endpoint: self, permit: Some(permit) })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, ProxyError> {
        struct Waiting<'a>(&'a Endpoint);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.metrics.waiting.decrement(1.0);
                self.0.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        self.metrics.waiting.increment(1.0);
        let _waiting = Waiting(self);
        if before >= self.config.max_waiting {
            return Err(ProxyError::new(ErrorKind::Overloaded));
        }
        match timeout(self.config.max_wait, self.turns.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ProxyError::new(ErrorKind::Overloaded)),
        }
    }

    /// A connection for a request: a kept one no older than `fresh_within` if there is one, else a new one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectFailed`] or [`ErrorKind::ConnectTimeout`].
    pub(crate) async fn connection(&self, fresh_within: Option<Duration>) -> Result<Connection, ProxyError> {
        if let Some(within) = fresh_within
            && let Some(connection) = self.kept(within).await
        {
            return Ok(connection);
        }
        let (kind, cause) = match timeout(self.config.connect_timeout, self.connect()).await {
            Ok(Ok(connection)) => {
                self.metrics.connected.increment(1);
                return Ok(connection);
            }
            Ok(Err(cause)) => (ErrorKind::ConnectFailed, cause),
            Err(elapsed) => (ErrorKind::ConnectTimeout, elapsed.into()),
        };
        self.metrics.connect_failed.increment(1);
        Err(ProxyError::new(kind).with(cause))
    }

    /// A kept connection that is ready for a request. Those that do not get ready are closed.
    async fn kept(&self, within: Duration) -> Option<Connection> {
        let mut deadline = None;
        while let Some(mut connection) = self.pool.take(within) {
            if connection.sender.is_ready() {
                return Some(connection);
            }
            // Its last exchange is over; the other task may need a moment to notice.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + READY_WITHIN);
            if matches!(timeout_at(deadline, connection.sender.ready()).await, Ok(Ok(()))) {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, crate::error::BoxError> {
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let stream = TcpStream::connect((host, self.port)).await?;
        // Small heads and bodies must not wait for an acknowledgement.
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(error = &error as &dyn std::error::Error, "upstream connection ended");
            }
        });
        Ok(Connection::new(sender, driver.abort_handle(), self.config.idle_timeout))
    }
}

// === impl Turn ===

impl Turn {
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Leaves the turn to the next request: a tunnel may take days, and has a bound of its own.
    pub(crate) fn release(&mut self) {
        if self.permit.take().is_some() {
            self.endpoint.metrics.in_flight.decrement(1.0);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.release();
        self.endpoint.load.fetch_sub(1, Ordering::Relaxed);
    }
}
