//! What layers need of a cache.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Outcome};
use crate::cache::Cache;
use crate::key::{CacheKey, Tag};
use crate::policy::Policy;
use crate::store::Store;

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// What memory has and is fresh, when nothing of it is due; counted as a hit.
    pub(crate) fn in_memory(&self, key: &K) -> Option<Answer<V>> {
        Some(self.hit(key, true)?.answer(Outcome::Hit, self.now()))
    }

    /// As [`get`](Self::get), with its age.
    pub(crate) async fn stored(&self, key: &K) -> Option<Answer<V>> {
        let entry = match self.hit(key, true) {
            Some(entry) => entry,
            None => Box::pin(self.read(key)).await?,
        };
        Some(entry.answer(Outcome::Hit, self.now()))
    }

    /// By the store's clock, in ms.
    pub(crate) fn now(&self) -> u64 {
        self.inner.store.now()
    }

    pub(crate) fn store(&self) -> Store {
        Store(Arc::clone(&self.inner.store))
    }

    /// That of this handle.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// By the policy of a handle with more tags; none when they are too many.
    pub(crate) fn tagged(&self, policy: &Policy, tags: impl IntoIterator<Item = Tag>) -> Option<Self> {
        let mut policy = self.with_usual_tags(policy.clone());
        for tag in tags {
            if !policy.tags.contains(&tag) {
                policy.tags.push(tag);
            }
        }
        (policy.tags.len() <= Policy::MAX_TAGS).then(|| self.by(policy))
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner.config.name
    }
}
