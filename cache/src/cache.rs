//! The handle that users hold.

mod before;
mod bounds;
mod fetch;
#[cfg(feature = "tower")]
mod for_layers;
mod glance;
mod inner;
mod job;
mod load;
mod loading;
mod many;
mod read;
mod seal;
mod seldom;
mod unusable;
mod write;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::answer::{Answer, Outcome};
use crate::cache::job::job;
use crate::cache::seldom::Seldom;
pub(crate) use crate::cache::unusable::Reason;
use crate::cache::unusable::Said;
use crate::config::CacheConfig;
use crate::entry::Entry;
use crate::epochs::{Epochs, Stamp};
use crate::error::{Error, ErrorKind};
use crate::flight::{Asker, Flights};
use crate::key::CacheKey;
use crate::loaded::Loaded;
use crate::mark::MarkName;
use crate::memory::Memory;
use crate::metrics::CacheMetrics;
use crate::policy::Policy;
use crate::stats::Stats;
use crate::store::{Member, Shared};

/// A cheap handle to one cache: answers of one kind, by typed keys. Clones share its memory and its loads.
///
/// The load that a question brings is a `Future` that is `'static`: it belongs to the cache, runs in a task of its own,
/// and goes on when the caller is gone.
///
/// Everybody gets the same value, by an `Arc`. One that can be changed all the same (a `Mutex` in it) is changed for all of them.
pub struct Cache<K, V> {
    inner: Arc<Inner<K, V>>,
    policy: Arc<Policy>,
    /// The policy's tags: what this one answers carries them.
    tags: Arc<[MarkName]>,
    /// It goes by the cache's own policy, and so does all that lies in memory: what other policies keep has the cache's tags
    /// too, and is looked at again when its time by this one is over.
    usual: bool,
}

pub(crate) struct Inner<K, V> {
    store: Arc<Shared>,
    /// The cache's name and version.
    space: Arc<str>,
    mark: MarkName,
    memory: Memory<K, V>,
    flights: Arc<Flights<K, V>>,
    epochs: Epochs,
    /// Whether the tier had all of the keys that were asked for together last.
    had_all: AtomicBool,
    metrics: CacheMetrics,
    /// The lines about loads that failed.
    failures: Seldom,
    /// The lines about values that are not kept.
    unusable: Said,
    config: CacheConfig,
    /// Who waits for another process's load, by the key as it is written. As many as loads that run.
    waiting: Mutex<HashMap<Arc<str>, Weak<Notify>>>,
}

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
            memory: Memory::new(config.max_weight, config.max_entries, config.max_value),
            flights: Arc::new(Flights::new()),
            epochs: Epochs::new(),
            had_all: AtomicBool::new(false),
            metrics: CacheMetrics::new(&config.name),
            failures: Seldom::default(),
            unusable: Said::default(),
            waiting: Mutex::default(),
            store,
            space,
            config,
        };
        let tags = policy.tags.iter().map(MarkName::of_tag).collect();
        Self { inner: Arc::new(inner), policy, tags, usual: true }
    }

    pub(crate) fn member(&self) -> Weak<dyn Member> {
        let inner: Arc<dyn Member> = Arc::clone(&self.inner) as _;
        Arc::downgrade(&inner)
    }

    /// The same cache, used by another policy: for some keys, or some callers. The tags of the cache's own policy come along.
    ///
    /// Where callers ask for the same keys by different policies, each is answered only what is fresh by its own `ttl` and
    /// `negative_ttl`, unless a load said itself how long its answer lives, and carries all of its tags. Anything else it
    /// loads anew and writes over. Two policies with different tags therefore undo each other: give them separate keys or
    /// caches.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the policy cannot be used, wants more than
    /// [`StoreConfig::max_ttl`](crate::StoreConfig::max_ttl), or has more tags than an entry may have, with the cache's own.
    pub fn with_policy(&self, policy: Policy) -> Result<Self, Error> {
        let policy = self.with_usual_tags(policy);
        policy.check(&self.inner.store.config)?;
        Ok(self.by(policy))
    }

    fn with_usual_tags(&self, mut policy: Policy) -> Policy {
        let usual = &self.inner.config.policy.tags;
        policy.tags.retain(|tag| !usual.contains(tag));
        policy.tags.splice(0..0, usual.iter().cloned());
        policy
    }

    fn by(&self, policy: Policy) -> Self {
        let tags = policy.tags.iter().map(MarkName::of_tag).collect();
        Self { inner: Arc::clone(&self.inner), policy: Arc::new(policy), tags, usual: false }
    }

    /// The value of `key`: from memory, from the shared tier, or from `load`. All who ask meanwhile, in all processes, share one
    /// load. A caller whose own read of the shared tier ends just after a load that kept nothing loads once more.
    ///
    /// The load is in the span of who brought it, which stays open until its end, also when something old is answered before
    /// (`soft_timeout`). A refresh, and what a caller that went away leaves behind, follows from that span instead.
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
    /// When dropped, the question goes on, with its load, and the answer is kept; not where a panic drops it.
    pub async fn get_or_load<F, Fut, L, E>(&self, key: &K, load: F) -> Result<Arc<V>, Error>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(Entry { value: Some(value), .. }) = self.hit(key, false) {
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
        if let Some(entry) = self.hit(key, true) {
            return Ok(entry.value);
        }
        let answer = Box::pin(self.ask(key, job(load, |found| found.map(Into::into)), true)).await?;
        Ok(answer.value)
    }

    /// As [`get_or_find`](Self::get_or_find), and tells where the answer came from. Where there is always something, let the
    /// load say `Ok(Some(…))`: then the answer has a value, too.
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
        if let Some(entry) = self.hit(key, true) {
            return Ok(entry.answer(Outcome::Hit, self.inner.store.now()));
        }
        Box::pin(self.ask(key, job(load, |found| found.map(Into::into)), true)).await
    }

    /// What memory has of `key` and is fresh. It counts as no question.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        let entry = self.inner.memory.get(key)?;
        let inner = &self.inner;
        let fresh = entry.is_fresh(&self.policy, inner.store.now()) && self.trusts(&entry.stamp);
        entry.value.filter(|_| fresh)
    }

    /// What it did, and how full memory is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Whether nothing ended what was asked for then, as far as can be known, and it carries our tags.
    fn trusts(&self, stamp: &Stamp) -> bool {
        self.inner.is_trusted(stamp) && stamp.carries(&self.tags)
    }

    /// Whether who led asked for what we ask for.
    fn follows(&self, led: &Asker) -> bool {
        self.trusts(&led.stamp)
            && (Arc::ptr_eq(&led.policy, &self.policy) || led.policy.is_within(&self.policy))
    }

    /// The way of most questions: a fresh entry in memory, of which nothing is due. `nothing`: that there is nothing is an
    /// answer too.
    fn hit(&self, key: &K, nothing: bool) -> Option<Entry<V>> {
        let entry = self.inner.memory.get(key)?;
        self.is_hit(&entry, nothing).then_some(entry)
    }

    #[inline]
    fn is_hit(&self, entry: &Entry<V>, nothing: bool) -> bool {
        let inner = &*self.inner;
        let now = inner.store.now();
        // Redis away must not make what memory has dearer.
        let young = if self.usual {
            entry.is_young(&self.policy, now)
        } else {
            entry.is_young_by(&self.policy, now) && entry.stamp.carries(&self.tags)
        };
        let hit = young
            && inner.store.is_heard_or_young(entry.stamp.at, now)
            && inner.epochs.is_current(&entry.stamp)
            && (nothing || entry.value.is_some());
        if hit {
            inner.metrics.hits_memory.add();
        }
        hit
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            policy: Arc::clone(&self.policy),
            tags: Arc::clone(&self.tags),
            usual: self.usual,
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("space", &self.inner.space).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
