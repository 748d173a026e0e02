//! A service behind the proxy: one or several addresses.

pub(crate) mod balance;
pub(crate) mod channel;
pub(crate) mod endpoint;
#[cfg(feature = "http2")]
mod h2;
pub(crate) mod health;
mod members;
mod pool;
pub(crate) mod resolve;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::UpstreamConfig;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::UpstreamMetrics;
use crate::resilience::Resilience;
use crate::resilience::metrics::ResilienceMetrics;
use crate::upstream::balance::{Ask, Balancer, Picked};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::members::Members;
use crate::upstream::resolve::LookUp;

/// A service behind the proxy: one or several addresses with their connections. Clones share them.
///
/// Several addresses share the requests ([`Balance`](crate::config::Balance)). One that fails is passed over for a while,
/// which doubles while it fails; then one request tries it. When all fail, the one that is due first is tried anyway,
/// unless it is to [fail fast](UpstreamConfig::fail_fast).
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    members: Arc<Members>,
    balancer: Balancer,
    /// Whether its tasks were begun.
    started: AtomicBool,
    tunnels: Arc<Semaphore>,
    config: UpstreamConfig,
    metrics: UpstreamMetrics,
    resilience: Arc<Resilience>,
}

// === impl Upstream ===

impl Upstream {
    /// An upstream with these addresses (`http://host:port`, `https://host:port`, or `host:port`, which is `http`), of
    /// which nothing is connected yet.
    ///
    /// `name` is the label in metrics and logs. Names are looked up by the system, again and again
    /// ([`UpstreamConfig::resolve_every`]).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no address, or one does not parse, has a path or is
    /// neither `http` nor, with the feature `tls`, `https`.
    pub fn new<A: AsRef<str>>(
        name: &str,
        addresses: impl IntoIterator<Item = A>,
        config: UpstreamConfig,
    ) -> Result<Self, ProxyError> {
        Self::build(name, addresses, config, &resolve::system())
    }

    /// An upstream whose names are looked up by `look_up`: the addresses for a name and a port.
    ///
    /// One look-up of a name is under way at a time, and it has no time limit of its own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_resolver<A, F, L>(
        name: &str,
        addresses: impl IntoIterator<Item = A>,
        config: UpstreamConfig,
        look_up: F,
    ) -> Result<Self, ProxyError>
    where
        A: AsRef<str>,
        F: Fn(String, u16) -> L + Send + Sync + 'static,
        L: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let look_up: LookUp = Arc::new(move |host, port| Box::pin(look_up(host, port)));
        Self::build(name, addresses, config, &look_up)
    }

    fn build<A: AsRef<str>>(
        name: &str,
        addresses: impl IntoIterator<Item = A>,
        config: UpstreamConfig,
        look_up: &LookUp,
    ) -> Result<Self, ProxyError> {
        let name: Arc<str> = name.into();
        let metrics = UpstreamMetrics::new(&name);
        let resilience = Resilience::new(&config, Arc::new(ResilienceMetrics::new(&name)));
        let endpoints = addresses
            .into_iter()
            .map(|address| {
                Endpoint::parse(address.as_ref(), &config, &metrics, &resilience.metrics, look_up)
                    .map(Arc::new)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(ProxyError::config("an upstream without an address"));
        }
        let tunnels = Arc::new(Semaphore::new(config.max_tunnels.min(Semaphore::MAX_PERMITS)));
        let shared = Shared {
            balancer: Balancer::new(&config),
            started: AtomicBool::new(false),
            resilience: Arc::new(resilience),
            name,
            members: Members::new(endpoints),
            tunnels,
            config,
            metrics,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// An upstream with the addresses in `list`, separated by commas.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn parse(name: &str, list: &str, config: UpstreamConfig) -> Result<Self, ProxyError> {
        let addresses = list.split(',').map(str::trim).filter(|address| !address.is_empty());
        Self::new(name, addresses, config)
    }

    /// The name given at construction.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its addresses, as they were given: `host:port`.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.shared.members.given().iter().map(|endpoint| endpoint.authority())
    }

    /// How many of its addresses are not passed over at this moment. A name is one until it is found.
    #[must_use]
    pub fn available(&self) -> usize {
        self.shared.members.now().iter().filter(|endpoint| endpoint.health.is_up()).count()
    }

    /// Whether both are clones of one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// This one, with the addresses, tunnels and health of `before` where they are the same.
    pub(crate) fn succeeding(self, before: &Self) -> Self {
        let (new, old) = (&*self.shared, &*before.shared);
        if self.is_same(before) || new.name != old.name || new.config != old.config {
            return self;
        }
        let shared = Shared {
            name: old.name.clone(),
            members: new.members.succeeding(&old.members),
            tunnels: old.tunnels.clone(),
            config: old.config.clone(),
            metrics: old.metrics.clone(),
            resilience: old.resilience.clone(),
            balancer: Balancer::new(&old.config),
            started: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// How it is reached.
    #[must_use]
    pub fn config(&self) -> &UpstreamConfig {
        &self.shared.config
    }

    /// The right to one of its tunnels, if there is one left.
    pub(crate) fn tunnel(&self) -> Option<OwnedSemaphorePermit> {
        self.shared.tunnels.clone().try_acquire_owned().ok()
    }

    pub(crate) fn resilience(&self) -> &Resilience {
        &self.shared.resilience
    }

    /// Whether there is another address to go to.
    pub(crate) fn has_several(&self) -> bool {
        self.shared.members.now().len() > 1
    }

    /// Begins with what runs beside the requests, once. Without a runtime it is for the first request to do.
    pub(crate) fn start(&self) {
        if tokio::runtime::Handle::try_current().is_err() || self.shared.started.swap(true, Ordering::AcqRel)
        {
            return;
        }
        self.shared.members.start(&self.shared.config, &self.shared.resilience.metrics);
    }

    /// Whether one more address may be passed over because of how it answers. Those that are out for another reason count.
    pub(crate) fn may_eject(&self) -> bool {
        let members = self.shared.members.now();
        let all = members.len();
        let out = members.iter().filter(|endpoint| !endpoint.health.is_up()).count() + 1;
        let share = usize::try_from(self.shared.config.max_ejected).unwrap_or(usize::MAX);
        all == 1 || self.shared.config.fail_fast || (out < all && out * 100 <= all.saturating_mul(share))
    }

    /// An address for a request that has failed at those in `tried`; `None` when all were tried.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CircuitOpen`] when all are out, and it is one that is not tried then.
    pub(crate) fn pick(
        &self,
        tried: &[Arc<Endpoint>],
        ask: Ask,
    ) -> Result<Option<Arc<Endpoint>>, ProxyError> {
        if !self.shared.started.load(Ordering::Acquire) {
            self.start();
        }
        match self.shared.balancer.pick(&self.shared.members.now(), tried, ask) {
            Picked::At(endpoint) => Ok(Some(endpoint.clone())),
            Picked::Nowhere => Ok(None),
            Picked::Out(until) => {
                let wait = until.saturating_duration_since(Instant::now());
                Err(ProxyError::new(ErrorKind::CircuitOpen).again_in(wait))
            }
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.shared.name)
            .field("addresses", &self.addresses().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
