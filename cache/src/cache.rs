//! The handle that users hold.

mod fetch;
mod load;
mod loading;
mod many;
mod read;
mod seal;
mod write;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::answer::{Answer, Outcome};
use crate::config::CacheConfig;
use crate::entry::Entry;
use crate::epochs::{Epochs, Stamp, Tags};
use crate::error::{Error, ErrorKind};
use crate::flight::Flights;
use crate::key::{CacheKey, written};
use crate::loaded::Loaded;
use crate::mark::{Mark, MarkName};
use crate::memory::Memory;
use crate::metrics::CacheMetrics;
use crate::policy::Policy;
use crate::stats::{CacheStats, Stats};
use crate::store::{Member, Shared};
use crate::tier::Slot;

/// A cheap handle to one cache: answers of one kind, by typed keys. Clones share its memory and its loads.
///
/// The load that a question brings is a `Future` that is `'static`: it belongs to the cache, runs in a task of its own,
/// and goes on when the caller is gone.
pub struct Cache<K, V> {
    inner: Arc<Inner<K, V>>,
    policy: Arc<Policy>,
}

pub(crate) struct Inner<K, V> {
    store: Arc<Shared>,
    /// The cache's name and version.
    space: Arc<str>,
    mark: MarkName,
    memory: Memory<K, V>,
    flights: Arc<Flights<K, V>>,
    epochs: Epochs,
    metrics: CacheMetrics,
    config: CacheConfig,
    /// Who waits for another process's load, by the key as it is written. As many as loads that run.
    waiting: Mutex<HashMap<Arc<str>, Weak<Notify>>>,
}

/// A load, whatever its types were: none is that there is nothing.
type Job<V> = Box<dyn FnOnce() -> BoxFuture<'static, Result<Option<Loaded<V>>, Error>> + Send>;

// === impl Cache ===

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(crate) fn new(store: Arc<Shared>, space: Arc<str>, config: CacheConfig) -> Self {
        let policy = Arc::new(config.policy.clone());
        let inner = Inner {
            mark: MarkName::of_cache(&space),
            memory: Memory::new(config.max_weight, config.max_entries),
            flights: Arc::new(Flights::new()),
            epochs: Epochs::new(),
            metrics: CacheMetrics::new(&config.name),
            waiting: Mutex::default(),
            store,
            space,
            config,
        };
        Self { inner: Arc::new(inner), policy }
    }

    pub(crate) fn member(&self) -> Weak<dyn Member> {
        let inner: Arc<dyn Member> = Arc::clone(&self.inner) as _;
        Arc::downgrade(&inner)
    }

    /// The same cache, used by another policy: for some keys, or some callers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the policy cannot be used.
    pub fn with_policy(&self, policy: Policy) -> Result<Self, Error> {
        policy.check()?;
        Ok(Self { inner: Arc::clone(&self.inner), policy: Arc::new(policy) })
    }

    /// The value of `key`: from memory, from the shared tier, or from `load`, which runs once for all who ask meanwhile,
    /// in all processes.
    ///
    /// Asked for inside its own load, the key is loaded without the cache.
    ///
    /// # Errors
    ///
    /// When the load fails, panics or takes too long, and there is nothing old that the policy allows; everyone who
    /// waited for it gets the same error, which is not kept.
    ///
    /// # Cancel safety
    ///
    /// When dropped, a load that began goes on and is kept.
    pub async fn get_or_load<F, Fut, L, E>(&self, key: &K, load: F) -> Result<Arc<V>, Error>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(Entry { value: Some(value), .. }) = self.hit(key) {
            return Ok(value);
        }
        let answer = Box::pin(self.ask(key, job(load, |loaded| Some(loaded.into())), false)).await?;
        answer.value.ok_or_else(|| Error::new(ErrorKind::Load, "there is nothing"))
    }

    /// As [`get_or_load`](Self::get_or_load), where the load may find that there is nothing, which is kept for
    /// [`Policy::negative_ttl`].
    ///
    /// # Errors
    ///
    /// As `get_or_load`.
    ///
    /// # Cancel safety
    ///
    /// As `get_or_load`.
    pub async fn get_or_find<F, Fut, L, E>(&self, key: &K, load: F) -> Result<Option<Arc<V>>, Error>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<L>, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(entry) = self.hit(key) {
            return Ok(entry.value);
        }
        let answer = Box::pin(self.ask(key, job(load, |found| found.map(Into::into)), true)).await?;
        Ok(answer.value)
    }

    /// As [`get_or_find`](Self::get_or_find), and tells where the answer came from.
    ///
    /// # Errors
    ///
    /// As `get_or_load`.
    ///
    /// # Cancel safety
    ///
    /// As `get_or_load`.
    pub async fn answer<F, Fut, L, E>(&self, key: &K, load: F) -> Result<Answer<V>, Error>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<L>, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(entry) = self.hit(key) {
            return Ok(Answer::new(entry.value, Outcome::Hit));
        }
        Box::pin(self.ask(key, job(load, |found| found.map(Into::into)), true)).await
    }

    /// What memory has of `key` and is fresh. It counts as no question.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        let entry = self.inner.memory.get(key)?;
        let inner = &self.inner;
        let fresh = inner.store.now() < entry.fresh_until && inner.is_trusted(&entry);
        entry.value.filter(|_| fresh)
    }

    /// What it did, and how full memory is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// The way of most questions: a fresh entry in memory, of which nothing is due.
    fn hit(&self, key: &K) -> Option<Entry<V>> {
        let inner = &*self.inner;
        let entry = inner.memory.get(key)?;
        let now = inner.store.now();
        // Redis away must not make what memory has dearer.
        if now < entry.refresh_from
            && inner.store.is_heard_or_young(entry.filled, now)
            && inner.epochs.is_current(&entry.stamp)
        {
            inner.metrics.hits_memory.add();
            return Some(entry);
        }
        None
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), policy: Arc::clone(&self.policy) }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("space", &self.inner.space).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl<K: CacheKey, V: Send + Sync + 'static> Inner<K, V> {
    fn slot(&self, key: &K) -> Slot {
        Slot { space: Arc::clone(&self.space), key: written(key).into() }
    }

    /// How everything stands now, for a question after `key`.
    fn stamp(&self, key: &str, policy: &Policy) -> Stamp {
        let tags = self.store.tags.stamps(policy.tags.iter().map(MarkName::of_tag));
        self.epochs.stamp(key, tags)
    }

    /// Whether nothing ended the entry, as far as can be known.
    fn is_trusted(&self, entry: &Entry<V>) -> bool {
        self.epochs.is_current(&entry.stamp) && self.store.is_heard_or_young(entry.filled, self.store.now())
    }

    fn keep(&self, key: K, entry: Entry<V>) {
        self.memory.insert(key, entry);
    }

    fn stats(&self) -> Stats {
        let Self { metrics, memory, .. } = self;
        Stats {
            hits_memory: metrics.hits_memory.get(),
            hits_shared: metrics.hits_shared.get(),
            misses: metrics.misses.get(),
            stale: metrics.stale.get(),
            loads: metrics.loads.get(),
            refreshes: metrics.refreshes.get(),
            followers: metrics.followers.get(),
            load_errors: metrics.load_errors.get(),
            refused: metrics.refused.get(),
            unusable: metrics.unusable.get(),
            lease_waits: metrics.lease_waits.get(),
            invalidations: metrics.invalidations.get(),
            read_bytes: metrics.read_bytes.get(),
            written_bytes: metrics.written_bytes.get(),
            entries: memory.len(),
            weight: memory.weight(),
        }
    }

    fn tags(&self) -> &Tags {
        &self.store.tags
    }
}

impl<K: CacheKey, V: Send + Sync + 'static> Member for Inner<K, V> {
    fn ended(&self, key: &str) {
        self.metrics.invalidations.add();
        self.epochs.end(key);
    }

    fn ended_all(&self, mark: Option<(Mark, u64)>) {
        self.epochs.cell.end(mark);
        self.memory.clear();
    }

    fn filled(&self, key: &str) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = waiting.get(key).and_then(Weak::upgrade) {
            waiter.notify_waiters();
        }
    }

    fn publish(&self) {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.metrics.publish();
        self.metrics.weight.set(small(self.memory.weight()));
        self.metrics.entries.set(small(self.memory.len()));
    }

    fn stats(&self) -> CacheStats {
        CacheStats { name: self.config.name.clone(), version: self.config.version, stats: self.stats() }
    }
}

/// A load without its types.
fn job<V, F, Fut, R, E>(load: F, found: fn(R) -> Option<Loaded<V>>) -> Job<V>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
    R: 'static,
    V: 'static,
{
    Box::new(move || {
        // The closure itself may panic too, so it runs inside.
        Box::pin(async move {
            match load().await {
                Ok(answer) => Ok(found(answer)),
                Err(error) => Err(Error::with_source(ErrorKind::Load, "", error)),
            }
        })
    })
}
