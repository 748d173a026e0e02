//! A service behind the proxy: one or several addresses.

mod balance;
pub(crate) mod channel;
pub(crate) mod endpoint;
#[cfg(feature = "http2")]
mod h2;
mod health;
mod pool;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::UpstreamConfig;
use crate::error::ProxyError;
use crate::metrics::UpstreamMetrics;
use crate::resilience::Resilience;
use crate::upstream::endpoint::Endpoint;

/// A service behind the proxy: one or several addresses with their connections. Clones share them.
///
/// Several addresses share the requests (the less busy of two drawn ones). One that fails is passed over for a while,
/// which doubles while it fails; then one request tries it. When all fail, the one that is due first is tried anyway.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    endpoints: Vec<Arc<Endpoint>>,
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
    /// `name` is the label in metrics and logs. Names are looked up at every connect.
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
        let name: Arc<str> = name.into();
        let metrics = UpstreamMetrics::new(&name);
        let endpoints = addresses
            .into_iter()
            .map(|address| Endpoint::parse(address.as_ref(), &config, &metrics).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(ProxyError::config("an upstream without an address"));
        }
        let tunnels = Arc::new(Semaphore::new(config.max_tunnels.min(Semaphore::MAX_PERMITS)));
        let resilience = Arc::new(Resilience::new(&name, &config));
        Ok(Self { shared: Arc::new(Shared { name, endpoints, tunnels, config, metrics, resilience }) })
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

    /// Its addresses, as `host:port`.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.shared.endpoints.iter().map(|endpoint| endpoint.authority())
    }

    /// How many of its addresses are not passed over at this moment.
    #[must_use]
    pub fn available(&self) -> usize {
        self.shared.endpoints.iter().filter(|endpoint| endpoint.health.is_up()).count()
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
        let kept = |endpoint: &Arc<Endpoint>| {
            let known = old.endpoints.iter().find(|known| known.is_same(endpoint));
            known.unwrap_or(endpoint).clone()
        };
        let shared = Shared {
            name: old.name.clone(),
            endpoints: new.endpoints.iter().map(kept).collect(),
            tunnels: old.tunnels.clone(),
            config: old.config.clone(),
            metrics: old.metrics.clone(),
            resilience: old.resilience.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.shared.name
    }

    pub(crate) fn config(&self) -> &UpstreamConfig {
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
        self.shared.endpoints.len() > 1
    }

    /// An address for a request that has failed at those in `tried`; `None` when all were tried. `may_try`: it may be
    /// the one that finds out whether a failing address is back.
    pub(crate) fn pick(&self, tried: &[Arc<Endpoint>], may_try: bool) -> Option<Arc<Endpoint>> {
        balance::pick(&self.shared.endpoints, tried, may_try).cloned()
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
