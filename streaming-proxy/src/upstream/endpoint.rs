//! One address: its turnstile, its connections, its health.

mod open;

use std::net::SocketAddr;
#[cfg(feature = "http2")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::UpstreamConfig;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::UpstreamMetrics;
use crate::resilience::metrics::ResilienceMetrics;
use crate::upstream::balance::key;
use crate::upstream::balance::latency::Latency;
#[cfg(feature = "http2")]
use crate::upstream::h2::Set;
use crate::upstream::health::{Health, check};
use crate::upstream::pool::{Connection, Pool};
use crate::upstream::resolve::{LookUp, Name};
#[cfg(feature = "tls")]
use crate::upstream::tls::Tls;

pub(crate) use crate::upstream::endpoint::open::Needs;

/// One address of an upstream.
pub(crate) struct Endpoint {
    authority: Authority,
    host: HeaderValue,
    at: At,
    turns: Arc<Semaphore>,
    load: AtomicUsize,
    waiting: AtomicUsize,
    is_tls: bool,
    pool: Arc<Pool>,
    #[cfg(feature = "http2")]
    http2: Set,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    /// Whether the last connection agreed on HTTP/2, where that is agreed on.
    #[cfg(feature = "http2")]
    agreed: AtomicBool,
    config: UpstreamConfig,
    metrics: UpstreamMetrics,
    /// What its name is among those that requests with a key are shared among.
    place: u64,
    owners: Mutex<Owners>,
    pub(crate) health: Health,
    pub(crate) latency: Latency,
}

/// Where an [`Endpoint`] is.
#[derive(Clone)]
enum At {
    Address(SocketAddr),
    /// Wherever the name leads: of one that was not found yet.
    Name(Arc<Name>),
}

/// The upstreams that have an address: of a table and of the one that succeeds it. What is there for all of them ends
/// with the last.
#[derive(Default)]
struct Owners {
    count: usize,
    check: Option<AbortHandle>,
}

/// What was said of an [`Endpoint`], wherever it is.
struct Given {
    authority: Authority,
    host: HeaderValue,
    is_tls: bool,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
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
        resilience: &ResilienceMetrics,
        look_up: &LookUp,
    ) -> Result<Self, ProxyError> {
        let uri: Uri =
            address.parse().map_err(|cause| ProxyError::config("an upstream's address").with(cause))?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS && cfg!(feature = "tls") => true,
            Some(scheme) if *scheme != Scheme::HTTP => {
                let detail = "an upstream's address must be http, or https with the feature tls";
                return Err(ProxyError::config(detail));
            }
            _ => false,
        };
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
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        #[cfg(feature = "tls")]
        let tls = is_tls.then(|| Tls::new(host_of(&authority), &config.roots, config.version)).transpose()?;
        let name = host_of(&authority);
        let at = match name.parse() {
            Ok(ip) => At::Address(SocketAddr::new(ip, port)),
            Err(_) => At::Name(Name::new(name, port, look_up.clone())),
        };
        let given = Given {
            authority,
            host,
            is_tls,
            #[cfg(feature = "tls")]
            tls,
        };
        Ok(Self::new(given, at, config, metrics, &resilience.out))
    }

    /// One of the addresses of this name.
    pub(crate) fn found_at(&self, address: SocketAddr) -> Self {
        let given = Given {
            authority: self.authority.clone(),
            host: self.host.clone(),
            is_tls: self.is_tls,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        };
        Self::new(given, At::Address(address), &self.config, &self.metrics, self.health.out())
    }

    fn new(given: Given, at: At, config: &UpstreamConfig, metrics: &UpstreamMetrics, out: &Gauge) -> Self {
        let place = match &at {
            At::Address(address) => key::place(&address.to_string()),
            At::Name(_) => key::place(given.authority.as_str()),
        };
        Self {
            place,
            at,
            authority: given.authority,
            host: given.host,
            is_tls: given.is_tls,
            #[cfg(feature = "tls")]
            tls: given.tls,
            turns: Arc::new(Semaphore::new(config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS))),
            load: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            pool: Pool::new(config, metrics),
            #[cfg(feature = "http2")]
            http2: Set::new(config, metrics),
            #[cfg(feature = "http2")]
            agreed: AtomicBool::new(true),
            config: config.clone(),
            metrics: metrics.clone(),
            owners: Mutex::default(),
            health: Health::new(config, out),
            latency: Latency::new(),
        }
    }

    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Whether both are the same address, and reached in the same way.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.authority == other.authority && self.is_tls == other.is_tls
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
    pub(crate) async fn turn(self: &Arc<Self>) -> Result<Turn, ProxyError> {
        let permit = match self.turns.clone().try_acquire_owned() {
            Ok(permit) => permit,
            // On the heap, as is all that few requests come to: what they need is no weight for the others.
            Err(_) => Box::pin(self.wait()).await?,
        };
        self.load.fetch_add(1, Ordering::Relaxed);
        self.metrics.in_flight.increment(1.0);
        Ok(Turn { endpoint: self.clone(), permit: Some(permit) })
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

    /// The name that it stands for, if it is one.
    pub(crate) fn name(&self) -> Option<&Arc<Name>> {
        match &self.at {
            At::Address(_) => None,
            At::Name(name) => Some(name),
        }
    }

    /// Its address, if it is no name.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.at {
            At::Address(address) => Some(*address),
            At::Name(_) => None,
        }
    }

    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    /// One more upstream has it: begins with its checks, if it has any and they are not running. Needs a runtime.
    pub(crate) fn join(self: &Arc<Self>, metrics: &Arc<ResilienceMetrics>) {
        let mut owners = self.owners();
        owners.count += 1;
        self.pool.open();
        let Some(check) = &self.config.health_check else { return };
        if owners.check.as_ref().is_none_or(AbortHandle::is_finished) {
            let watch = check::watch(Arc::downgrade(self), check.clone(), metrics.clone());
            owners.check = Some(tokio::spawn(watch).abort_handle());
        }
    }

    /// One upstream less has it, of those that have [joined](Self::join). With the last one go its checks, and what is
    /// kept for later.
    pub(crate) fn leave(&self) {
        let mut owners = self.owners();
        owners.count = owners.count.saturating_sub(1);
        if owners.count > 0 {
            return;
        }
        if let Some(check) = owners.check.take() {
            check.abort();
        }
        // ORDER: before anybody else can join.
        self.pool.close();
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept connection that is ready for a request. Those that do not get ready are closed.
    async fn kept(&self, within: Duration) -> Option<Connection> {
        let connection = self.pool.take(within)?;
        if connection.sender.is_ready() {
            return Some(connection);
        }
        Box::pin(self.ready(connection, within)).await
    }

    /// The first to get ready of `connection` and those that are kept. Its last exchange is over; the other task may
    /// need a moment to notice.
    async fn ready(&self, mut connection: Connection, within: Duration) -> Option<Connection> {
        let deadline = Instant::now() + READY_WITHIN;
        while !matches!(timeout_at(deadline, connection.sender.ready()).await, Ok(Ok(()))) {
            connection = self.pool.take(within)?;
        }
        Some(connection)
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

/// The host of an address as resolvers and certificates have it: IPv6 without brackets.
fn host_of(authority: &Authority) -> &str {
    let host = authority.host();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
