//! Writes, and what ends values.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::{Cache, Reason};
use crate::entry::Lives;
use crate::key::CacheKey;
use crate::loaded::Loaded;
use crate::mark::MarkName;
use crate::policy::Policy;
use crate::tier::{Ending, Slot};

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Writes a value over what is there. Loads that run do not write over it, and who asks after it gets nothing older.
    ///
    /// What cannot be kept, since it is too large or lives for no time, ends what is there.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the write goes on.
    pub async fn set(&self, key: &K, value: impl Into<Loaded<V>>) {
        let inner = &self.inner;
        let slot = inner.slot(key);
        // What is being loaded now is older.
        self.end_here(key, &slot);
        let (cache, key, loaded) = (self.clone(), key.clone(), value.into());
        inner.store.owned(async move { cache.write(key, slot, loaded).await }).await;
    }

    async fn write(self, key: K, slot: Slot, loaded: Loaded<V>) {
        let inner = &*self.inner;
        let Some((value, lives, names)) = self.lives(loaded) else {
            return self.end(&key, &slot).await;
        };
        let Some(packed) = inner.pack(Some(&value)) else {
            return self.end(&key, &slot).await;
        };
        let weight = packed.weight;
        // What ends the key or the tags from here on ends the value: it may have come to the tier after it.
        let tags = inner.tags().stamps(names);
        let mut stamp = inner.epochs.stamp(&slot.key, tags.clone(), inner.store.now());
        if inner.store.tier.is_shared() {
            match inner.marks(tags.as_ref()).await {
                Some(marks) => {
                    let (sealed, life) = inner.seal(&packed, lives, &marks);
                    // One that failed is remembered by the tier, and told it before it is read again.
                    let _ = inner.store.tier.put(&slot, sealed, life).await;
                }
                // It is away, and told before it is read again. Memory has the value meanwhile.
                None => inner.store.tier.end(&Ending::Key(slot.clone())).await,
            }
            // Again: what was read from the tier in between was old.
            let Some(written) = inner.epochs.end_others(&slot.key, stamp) else { return };
            stamp = written;
        }
        let entry = inner.entry(Some(value), lives, weight, stamp);
        inner.keep(key, &slot.key, entry);
    }

    /// Forgets the value of `key`, here and everywhere. Who asks after it gets nothing older.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate(&self, key: &K) {
        let inner = &self.inner;
        inner.metrics.invalidations.add();
        let slot = inner.slot(key);
        self.end_here(key, &slot);
        let (cache, key) = (self.clone(), key.clone());
        inner.store.owned(async move { cache.end(&key, &slot).await }).await;
    }

    /// As [`invalidate`](Self::invalidate) for many keys, of which Redis hears in one trip for every 250; in a cluster, all
    /// masters at once. The order of the keys means nothing, and one that is there twice ends once.
    ///
    /// Of more than [`max_pending`](crate::RedisConfig::max_pending) keys that Redis does not take in time the whole cache
    /// ends; of more than some ten thousand, [`invalidate_all`](Self::invalidate_all) costs less and ends hardly more.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate_many(&self, keys: &[K]) {
        let inner = &self.inner;
        let mut ended: Vec<(K, Slot)> = Vec::with_capacity(keys.len());
        let mut seen = HashSet::with_capacity(keys.len());
        for key in keys {
            if seen.insert(key) {
                ended.push((key.clone(), inner.slot(key)));
            }
        }
        inner.metrics.invalidations.add_many(ended.len());
        let cache = self.clone();
        cache.end_all_here(&ended);
        let work = async move {
            let endings: Vec<_> = ended.iter().map(|(_, slot)| Ending::Key(slot.clone())).collect();
            cache.inner.store.tier.end_many(&endings).await;
            // Again: what was read from the tier in between was old.
            cache.end_all_here(&ended);
        };
        inner.store.owned(work).await;
    }

    /// Forgets all values of this cache, here and everywhere. Who asks after it gets nothing older.
    ///
    /// There is nothing between this and a key but tags, and no pattern: values that are to end together carry one
    /// ([`Store::invalidate_tag`](crate::Store::invalidate_tag)).
    ///
    /// # Cancel safety
    ///
    /// When dropped, it goes on.
    pub async fn invalidate_all(&self) {
        let inner = Arc::clone(&self.inner);
        inner.metrics.invalidations.add();
        inner.epochs.cell.end(None);
        inner.memory.clear();
        let work = {
            let inner = Arc::clone(&inner);
            async move {
                inner.store.tier.end(&Ending::Mark(inner.mark.clone())).await;
                inner.epochs.cell.end(None);
                inner.memory.clear();
            }
        };
        inner.store.owned(work).await;
    }

    async fn end(&self, key: &K, slot: &Slot) {
        self.inner.store.tier.end(&Ending::Key(slot.clone())).await;
        // Again: what was read from the tier in between was old.
        self.end_here(key, slot);
    }

    fn end_here(&self, key: &K, slot: &Slot) {
        self.inner.epochs.end(&slot.key);
        self.inner.memory.remove(key);
    }

    fn end_all_here(&self, ended: &[(K, Slot)]) {
        ended.iter().for_each(|(key, slot)| self.end_here(key, slot));
    }

    fn lives(&self, loaded: Loaded<V>) -> Option<(Arc<V>, Lives, Vec<MarkName>)> {
        let (inner, policy): (_, &Policy) = (&*self.inner, &self.policy);
        let Loaded { value, ttl, stale_for, tags } = loaded;
        let max = inner.store.config.max_ttl;
        let lives = Lives::of(policy, true, (ttl, stale_for), Duration::ZERO, max)?;
        let names: Vec<_> = policy.tags.iter().chain(&tags).map(MarkName::of_tag).collect();
        if names.len() > Policy::MAX_TAGS {
            inner.unusable(Reason::TooManyTags);
            return None;
        }
        Some((Arc::new(value), lives, names))
    }
}
