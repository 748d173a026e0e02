//! What the caches of a process share.

mod hearing;
mod running;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::clock::millis;
#[cfg(feature = "redis")]
use crate::config::RedisConfig;
use crate::config::{CacheConfig, StoreConfig};
use crate::epochs::Tags;
use crate::error::{Error, ErrorKind};
use crate::key::{CacheKey, Tag};
use crate::mark::{Mark, MarkName};
use crate::metrics::StoreMetrics;
use crate::stats::{CacheStats, StoreStats};
use crate::tier::{Ending, NOTICE, Tier};

/// A cheap handle to what the caches of a process share: the tier that they share with other processes, if there is
/// one, what is heard of those, and the bound of loads that run at once.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) tier: Tier,
    pub(crate) tags: Tags,
    pub(crate) metrics: Arc<StoreMetrics>,
    /// One permit per load that may run.
    pub(crate) loads: Arc<Semaphore>,
    /// One permit per read of the tier that callers have on its way in their own futures, and so hold a place in the driver's
    /// queue without being polled: [`GLANCES`]. Without one it asks as it would for a load.
    pub(crate) glances: Semaphore,
    /// Loads and writes that outlive their callers. [`Store::run`] waits for those of the moment in which it ends, and lets
    /// the next ones begin anew: where callers go on asking there is always one.
    tasks: Mutex<TaskTracker>,
    /// How old an entry may be while nothing is heard, in ms.
    detached_age: u32,
    /// Whether what others end is heard, as far as is known.
    attached: AtomicBool,
    /// Up to when everything that others ended is known to have been heard, by the store's clock.
    whole: AtomicU64,
    /// Until when memory is believed, however old it is: as long after that as a feed that is silent may take to be
    /// noticed, and `detached_age`. Nobody has to notice anything for it to end: a process that stands still does not.
    believed_until: AtomicU64,
    /// How often that began: what was known in an earlier one may have changed.
    attachment: AtomicU64,
    /// The newest that was heard.
    heard: Mutex<Mark>,
    members: Mutex<HashMap<Arc<str>, Weak<dyn Member>>>,
}

/// A cache, whatever its types.
pub(crate) trait Member: Send + Sync {
    /// The value of this key ended.
    fn ended(&self, key: &str);
    /// All of it ended, and the tier has this mark for it, if that is known.
    fn ended_all(&self, mark: Option<(Mark, u64)>);
    /// Another process ended something of it.
    fn count_ended(&self);
    /// Another process wrote a value that someone here waits for, or gave it up.
    fn filled(&self, key: &str);
    /// Tells the metrics facade.
    fn publish(&self);
    /// What it did.
    fn stats(&self) -> CacheStats;
}

/// What is told of [`StoreConfig::max_ttl`]: entries count their lives in ms, in 32 bits (49 days).
const LONGEST: Duration = Duration::from_secs(40 * 24 * 60 * 60);

/// Most of what such callers do at once is on its way already; a service with more of them at one moment is busy enough to
/// gain from joining. Every queue that they may wait in has to have places left beside them.
pub(crate) const GLANCES: usize = 256;

/// The driver of a cluster has 100 places, once and for all.
const SPREAD_GLANCES: usize = 50;

// === impl Store ===

impl Store {
    /// Caches in this process's memory alone. They work without [`run`](Self::run); only that tells the metrics facade of them.
    ///
    /// Install the recorder of the `metrics` facade before it: what is counted goes to the recorder that was there when the
    /// store, and each of its caches, was made, and to none when there was none.
    #[must_use]
    pub fn memory(config: StoreConfig) -> Self {
        Self::new(Tier::Alone, config, Arc::new(StoreMetrics::new()))
    }

    /// Caches in memory over Redis. It connects when first used, and again and again. Call it inside a tokio runtime,
    /// and let [`run`](Self::run) run.
    ///
    /// Install the recorder of the `metrics` facade before it: what is counted goes to the recorder that was there when the
    /// store, and each of its caches, was made, and to none when there was none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the URL cannot be read, or the prefix, a certificate or a time of the configuration
    /// cannot be used. It does not fail because Redis is away.
    #[cfg(feature = "redis")]
    pub fn redis(redis: RedisConfig, config: StoreConfig) -> Result<Self, Error> {
        let metrics = Arc::new(StoreMetrics::new());
        let tier = crate::tier::redis::Redis::new(redis, Arc::clone(&metrics))?;
        Ok(Self::new(Tier::Redis(tier), config, metrics))
    }

    /// Caches in memory over what stands in for Redis: several nodes in one process, for tests.
    #[cfg(any(test, feature = "test-support"))]
    #[must_use]
    pub fn twin(twin: &crate::tier::twin::Twin, config: StoreConfig) -> Self {
        Self::new(Tier::Twin(Arc::new(twin.node())), config, Arc::new(StoreMetrics::new()))
    }

    fn new(tier: Tier, mut config: StoreConfig, metrics: Arc<StoreMetrics>) -> Self {
        config.max_ttl = config.max_ttl.min(LONGEST);
        config.lease_ttl = config.lease_ttl.min(LONGEST);
        config.max_loads = config.max_loads.clamp(1, Semaphore::MAX_PERMITS);
        let alone = !tier.is_shared();
        metrics.detached.set(u64::from(!alone));
        Self(Arc::new(Shared {
            tags: Tags::default(),
            metrics,
            loads: Arc::new(Semaphore::new(config.max_loads)),
            glances: Semaphore::new(if tier.is_spread() { SPREAD_GLANCES } else { GLANCES }),
            tier,
            tasks: Mutex::default(),
            detached_age: u32::try_from(millis(config.detached_age)).unwrap_or(u32::MAX),
            attached: AtomicBool::new(alone),
            whole: AtomicU64::new(if alone { u64::MAX } else { 0 }),
            believed_until: AtomicU64::new(if alone { u64::MAX } else { 0 }),
            attachment: AtomicU64::new(0),
            heard: Mutex::default(),
            members: Mutex::default(),
            config,
        }))
    }

    /// Makes the cache of this name. Make it once; keep the handle, and clone it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the name or the policy cannot be used, the policy wants more than
    /// [`StoreConfig::max_ttl`], memory is too small for the largest value, or a cache of this name and version is there.
    pub fn cache<K, V>(&self, config: CacheConfig) -> Result<Cache<K, V>, Error>
    where
        K: CacheKey,
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if config.name.is_empty() || config.name.len() > 32 || !config.name.bytes().all(plain) {
            return Err(Error::new(ErrorKind::Config, "a cache's name must be 1 to 32 of a-z, 0-9, - and _"));
        }
        config.policy.check(&self.0.config)?;
        let (weight, value) = (config.max_weight, config.max_value);
        if weight / 2 < value as u64 {
            let detail =
                format!("`max_weight` must be at least twice `max_value`, and they are {weight} and {value}");
            return Err(Error::new(ErrorKind::Config, detail));
        }
        let space: Arc<str> = format!("{}.{}", config.name, config.version).into();
        let mut members = self.0.members();
        if members.get(&space).is_some_and(|member| member.strong_count() > 0) {
            return Err(Error::new(ErrorKind::Config, format!("there is a cache `{space}` already")));
        }
        let cache = Cache::new(Arc::clone(&self.0), Arc::clone(&space), config);
        members.insert(space, cache.member());
        Ok(cache)
    }

    /// Forgets every value that carries `tag`, in all caches, here and everywhere. Who asks after it gets nothing older.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate_tag(&self, tag: &Tag) {
        self.invalidate_tags(std::slice::from_ref(tag)).await;
    }

    /// As [`invalidate_tag`](Self::invalidate_tag) for many tags, of which Redis hears in one trip for every 250; in a
    /// cluster, too, since marks lie together.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate_tags(&self, tags: &[Tag]) {
        let shared = Arc::clone(&self.0);
        let endings: Vec<_> = tags.iter().map(|tag| Ending::Mark(MarkName::of_tag(tag))).collect();
        shared.metrics.tag_invalidations.add_many(endings.len());
        shared.end_here(&endings);
        let work = async move {
            shared.tier.end_many(&endings).await;
            // Again: what was read from the tier in between was old.
            shared.end_here(&endings);
        };
        self.0.owned(work).await;
    }

    /// What each cache did, by name and version.
    #[must_use]
    pub fn caches(&self) -> Vec<CacheStats> {
        let mut caches: Vec<_> = self.0.each().iter().map(|member| member.stats()).collect();
        caches.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        caches
    }

    /// How the store is.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let metrics = &self.0.metrics;
        StoreStats {
            tier_errors: metrics.tier_errors.get(),
            flushes: metrics.flushes.get(),
            tag_invalidations: metrics.tag_invalidations.get(),
            loading: self.0.loading(),
            attached: self.0.is_attached(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("tier", &self.0.tier).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// Tells this store from others.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.config.clock.now()
    }

    #[inline]
    pub(crate) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Whether what was asked for at `asked` may be believed at `now`: it was not long ago that others' ends were heard,
    /// or it is young enough itself.
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "an entry lives for less than they take to come round"
    )]
    pub(crate) fn is_heard_or_young(&self, asked: u32, now: u64) -> bool {
        now < self.believed_until.load(Ordering::Acquire)
            || (now as u32).wrapping_sub(asked) < self.detached_age
    }

    /// The attachment in which marks may be taken for known; none while nothing is heard, or nobody looked for so long
    /// that it may be so.
    pub(crate) fn attachment(&self) -> Option<u64> {
        let whole = self.whole.load(Ordering::Acquire);
        let heard = self.is_attached() && self.now() < whole.saturating_add(millis(NOTICE));
        // ORDER: the number last. One from before may be that of an earlier attachment, whose marks are old.
        heard.then(|| self.attachment.load(Ordering::Acquire))
    }

    /// The newest that was heard.
    pub(crate) fn heard(&self) -> Mark {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends these tags in memory.
    fn end_here(&self, endings: &[Ending]) {
        for ending in endings {
            if let Ending::Mark(name) = ending {
                self.tags.end(name, None);
            }
        }
    }

    /// Runs work to its end even when the caller goes away.
    pub(crate) async fn owned(&self, work: impl Future<Output = ()> + Send + 'static) {
        if !self.tier.is_shared() {
            // Nothing in it waits for anybody.
            return work.await;
        }
        // An error is a runtime that shuts down, with nothing left to keep true.
        let _ = self.tasks().spawn(work).await;
    }

    /// Where what outlives its caller is spawned.
    pub(crate) fn tasks(&self) -> TaskTracker {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many places for loads are taken.
    fn loading(&self) -> u64 {
        self.config.max_loads.saturating_sub(self.loads.available_permits()) as u64
    }

    fn publish(&self) {
        self.metrics.publish();
        self.metrics.loading.set(self.loading());
        for member in self.each() {
            member.publish();
        }
    }

    fn each(&self) -> Vec<Arc<dyn Member>> {
        self.members().values().filter_map(Weak::upgrade).collect()
    }

    fn member(&self, space: &str) -> Option<Arc<dyn Member>> {
        self.members().get(space).and_then(Weak::upgrade)
    }

    fn members(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<dyn Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
