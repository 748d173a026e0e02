//! The handle that users hold.

mod load;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::cache::load::{Loaded, Loading};
use crate::config::CacheConfig;
use crate::entry::{Entry, Epochs};
#[cfg(feature = "redis")]
use crate::error::Error;
use crate::key::{Key, Tag};
use crate::load::Flights;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::stats::Stats;
use crate::tier::memory::Memory;
#[cfg(feature = "redis")]
use crate::tier::redis::{Found, Invalidation, Redis};

/// A cheap handle to a cache. Clones share its memory, its loads and its connections.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    config: CacheConfig,
    flights: Arc<Flights>,
    epochs: Epochs,
    metrics: Arc<Metrics>,
    /// One permit per load that may run.
    loads: Arc<Semaphore>,
    #[cfg(feature = "redis")]
    redis: Option<Arc<Redis>>,
}

// === impl Cache ===

impl Cache {
    /// A cache in this process's memory.
    #[must_use]
    pub fn memory(config: CacheConfig) -> Self {
        let metrics = Arc::new(Metrics::new(&config.name));
        metrics.attached.set(1);
        Self(Arc::new(Inner {
            #[cfg(feature = "redis")]
            redis: None,
            ..Inner::new(config, metrics)
        }))
    }

    /// A cache in memory over Redis, `redis://` or `rediss://`. It connects when first used, and again and
    /// again. Call it inside a tokio runtime, and let [`run`](Self::run) run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the URL cannot be read; nothing else.
    #[cfg(feature = "redis")]
    pub fn redis(url: &str, config: CacheConfig) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::new(&config.name));
        metrics.attached.set(0);
        let redis = Redis::new(url, config.clone(), metrics.clone())?;
        Ok(Self(Arc::new(Inner { redis: Some(redis), ..Inner::new(config, metrics) })))
    }

    /// The value of `key`: from memory, from Redis, or from `load`, which runs once for all who ask meanwhile.
    ///
    /// The load runs in a task of its own and goes on when this caller is gone. A panic in it is this
    /// caller's; others who waited for it load themselves. Asked for inside its own load, the key is loaded
    /// without the cache.
    ///
    /// # Errors
    ///
    /// What the load answers, to everyone who waited for it; it is not kept. Wrap an error that is not
    /// `Clone` into an `Arc`.
    ///
    /// # Panics
    ///
    /// When `load` does.
    ///
    /// # Cancel safety
    ///
    /// When dropped, a load that began goes on and is kept.
    pub async fn get_or_load<T, E, F, Fut>(&self, key: &Key, policy: &Policy, load: F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let inner = &self.0;
        loop {
            if let Some(value) = inner.remembered(key) {
                inner.metrics.hits_l1.add();
                return Ok(value);
            }
            let loading = Loading::current();
            if loading.has(inner.id(), key) {
                inner.metrics.misses.add();
                inner.metrics.loads.add();
                return load().await;
            }
            let answer = match inner.flights.follow(key) {
                Some(answer) => answer,
                None => {
                    // A load within a load goes on with the permit of the outer one: waiting for another would be
                    // waiting for itself. The semaphore is never closed.
                    let permit = match loading.is_within(inner.id()) {
                        true => None,
                        false => inner.loads.clone().acquire_owned().await.ok(),
                    };
                    let stamps = inner.epochs.stamps(policy.tags());
                    match inner.flights.join(key, &stamps) {
                        Err(answer) => answer,
                        // While waiting for the permit, another load may have ended.
                        Ok(lead) if inner.remembers::<T>(key) => {
                            drop(lead);
                            continue;
                        }
                        Ok(lead) => {
                            let job = inner.clone().load(lead, key.clone(), policy.clone(), stamps, load);
                            let scope = loading.with(inner.id(), key);
                            let task = tokio::spawn(scope.run(async move {
                                let answer = job.await;
                                drop(permit);
                                answer
                            }));
                            return match task.await {
                                Ok(answer) => answer,
                                Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
                                // The runtime shuts down, and this caller with it.
                                Err(_) => std::future::pending().await,
                            };
                        }
                    }
                }
            };
            match timeout(inner.config.load_timeout, answer).await {
                Ok(Ok(answer)) => {
                    inner.metrics.shared.add();
                    if let Some(loaded) = answer.downcast_ref::<Loaded<T, E>>() {
                        let count =
                            if loaded.from_redis { &inner.metrics.hits_l2 } else { &inner.metrics.misses };
                        count.add();
                        return loaded.result.clone();
                    }
                    // The same key for another type: it gets its value, and nothing is kept.
                    return load().await;
                }
                // Its load panicked, or never ends: this one does not count on it.
                Ok(Err(_)) => {}
                Err(_) => return load().await,
            }
        }
    }

    /// The value of `key`, when one of the tiers has it.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when dropped.
    pub async fn get<T>(&self, key: &Key, policy: &Policy) -> Option<T>
    where
        T: DeserializeOwned + Clone + Send + Sync + 'static,
    {
        let inner = &self.0;
        if let Some(value) = inner.remembered(key) {
            inner.metrics.hits_l1.add();
            return Some(value);
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &inner.redis {
            let stamps = inner.epochs.stamps(policy.tags());
            let lead = inner.flights.write(key, &stamps, false);
            if let Found::Value(bytes, ttl) = redis.lookup(key, policy, false).await {
                if let Some(value) = load::decode::<T>(&bytes, policy.version) {
                    inner.metrics.hits_l2.add();
                    if let Some(lead) = lead {
                        let ttl = ttl.min(inner.config.max_ttl);
                        lead.land(Some(Entry::new(Arc::new(value.clone()), bytes.len(), ttl, stamps)), None);
                    }
                    return Some(value);
                }
                inner.metrics.unusable.add();
                redis.drop_bad(key, &bytes).await;
            }
        }
        #[cfg(not(feature = "redis"))]
        let _ = policy;
        inner.metrics.misses.add();
        None
    }

    /// Writes a value over what is there. Loads that run do not write over it.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the write goes on.
    pub async fn set<T>(&self, key: &Key, value: &T, policy: &Policy)
    where
        T: Serialize + Clone + Send + Sync + 'static,
    {
        let inner = self.0.clone();
        let Some((bytes, ttl)) = inner.encode(value, policy) else {
            // What is there now is older than what could not be kept.
            self.invalidate(key).await;
            return;
        };
        let stamps = inner.epochs.stamps(policy.tags());
        let size = bytes.len();
        let entry = Entry::new(Arc::new(value.clone()), size, ttl, stamps.clone());
        let lead = inner.flights.write(key, &stamps, true);
        #[cfg(feature = "redis")]
        if let Some(redis) = inner.redis.clone() {
            let (key, policy) = (key.clone(), policy.clone());
            let flights = inner.flights.clone();
            owned(async move {
                redis.put(&key, &policy, &bytes, ttl).await;
                land(&flights, &key, lead, entry);
            })
            .await;
            inner.gauges();
            return;
        }
        land(&inner.flights, key, lead, entry);
        inner.gauges();
    }

    /// Forgets the value of `key`, here and everywhere. Who asks after it gets nothing older.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate(&self, key: &Key) {
        self.0.metrics.invalidations.add();
        self.0.flights.invalidate(key);
        #[cfg(feature = "redis")]
        if let Some(redis) = self.0.redis.clone() {
            let (inner, key) = (self.0.clone(), key.clone());
            owned(async move {
                redis.invalidate(&Invalidation::Key(key.clone())).await;
                // Again: what was read from Redis in between was old.
                inner.flights.invalidate(&key);
            })
            .await;
        }
        self.0.gauges();
    }

    /// Forgets every value that carries `tag`, here and everywhere. Who asks after it gets nothing older.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate_tag(&self, tag: &Tag) {
        self.0.metrics.invalidations.add();
        self.0.epochs.end_tag(tag);
        #[cfg(feature = "redis")]
        if let Some(redis) = self.0.redis.clone() {
            let (inner, tag) = (self.0.clone(), tag.clone());
            owned(async move {
                redis.invalidate(&Invalidation::Tag(tag.clone())).await;
                inner.epochs.end_tag(&tag);
            })
            .await;
        }
    }

    /// Forgets everything, here and everywhere.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate_all(&self) {
        self.0.metrics.invalidations.add();
        self.0.forget_all();
        #[cfg(feature = "redis")]
        if let Some(redis) = self.0.redis.clone() {
            let inner = self.0.clone();
            owned(async move {
                redis.invalidate(&Invalidation::All).await;
                inner.forget_all();
            })
            .await;
        }
    }

    /// Hears what other processes invalidate, until `shutdown`. On the memory cache there is nothing to hear.
    ///
    /// # Cancel safety
    ///
    /// When dropped, memory is trusted for [`CacheConfig::detached_age`] only.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.0.redis {
            let inner = self.0.clone();
            let hear = move |invalidation| match invalidation {
                Invalidation::All => {
                    inner.metrics.flushes.add();
                    inner.forget_all();
                }
                Invalidation::Key(key) => {
                    inner.metrics.invalidations.add();
                    inner.flights.invalidate(&key);
                }
                Invalidation::Tag(tag) => {
                    inner.metrics.invalidations.add();
                    inner.epochs.end_tag(&tag);
                }
            };
            redis.listen(hear, shutdown).await;
            return;
        }
        shutdown.await;
    }

    /// What the cache did, and how full it is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Inner { metrics, flights, .. } = &*self.0;
        Stats {
            hits_l1: metrics.hits_l1.get(),
            hits_l2: metrics.hits_l2.get(),
            misses: metrics.misses.get(),
            loads: metrics.loads.get(),
            shared: metrics.shared.get(),
            errors: metrics.errors.get(),
            stale: metrics.stale.get(),
            unusable: metrics.unusable.get(),
            redis_errors: metrics.redis_errors.get(),
            invalidations: metrics.invalidations.get(),
            flushes: metrics.flushes.get(),
            entries: flights.memory.len() as u64,
            weight: flights.memory.weight(),
            loading: self.0.loading(),
            attached: self.0.max_age().is_none(),
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.0.config.name).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    fn new(config: CacheConfig, metrics: Arc<Metrics>) -> Self {
        Self {
            flights: Arc::new(Flights::new(Memory::new(config.max_weight))),
            epochs: Epochs::default(),
            metrics,
            loads: Arc::new(Semaphore::new(config.max_loads.clamp(1, Semaphore::MAX_PERMITS))),
            #[cfg(feature = "redis")]
            redis: None,
            config,
        }
    }

    /// Tells this cache from others.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn remembered<T: Clone + 'static>(&self, key: &Key) -> Option<T> {
        self.flights.memory.get(key)?.value(self.max_age())
    }

    fn remembers<T: Clone + 'static>(&self, key: &Key) -> bool {
        self.remembered::<T>(key).is_some()
    }

    /// How old an entry may be, while nobody tells us of invalidations.
    fn max_age(&self) -> Option<Duration> {
        #[cfg(feature = "redis")]
        if self.redis.as_ref().is_some_and(|redis| !redis.is_attached()) {
            return Some(self.config.detached_age);
        }
        None
    }

    fn forget_all(&self) {
        self.epochs.end_all();
        self.flights.memory.clear();
        self.gauges();
    }

    fn loading(&self) -> u64 {
        self.config.max_loads.saturating_sub(self.loads.available_permits()) as u64
    }

    fn gauges(&self) {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.metrics.weight.set(small(self.flights.memory.weight()));
        self.metrics.loading.set(small(self.loading()));
    }
}

/// Runs work to its end even when the caller goes away.
#[cfg(feature = "redis")]
async fn owned(work: impl Future<Output = ()> + Send + 'static) {
    // An error is a runtime that shuts down, with nothing left to keep true.
    let _ = tokio::spawn(work).await;
}

/// Ends a write. A load that took its place meanwhile may have read what was there before, so it is not kept.
fn land(flights: &Flights, key: &Key, lead: Option<crate::load::Lead>, entry: Entry) {
    if let Some(lead) = lead
        && !lead.land(Some(entry), None)
    {
        flights.invalidate(key);
    }
}

/// An answer for followers.
fn shared<T: Send + Sync + 'static>(loaded: T) -> Arc<dyn Any + Send + Sync> {
    Arc::new(loaded)
}
