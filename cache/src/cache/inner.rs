//! What the handles of one cache share, and what its store tells it.

use std::sync::{Arc, PoisonError, Weak};

use crate::answer::Outcome;
use crate::cache::loading::Loading;
use crate::cache::{Inner, Reason};
use crate::entry::{Entry, Lives};
use crate::epochs::{Stamp, Tags};
use crate::flight::Asker;
use crate::key::{CacheKey, KeyParts, written, written_by};
use crate::mark::{Mark, MarkName};
use crate::metrics::Count;
use crate::policy::Policy;
use crate::stats::{CacheStats, Stats};
use crate::store::Member;
use crate::tier::Slot;

impl<K: CacheKey, V: Send + Sync + 'static> Inner<K, V> {
    pub(super) fn slot(&self, key: &K) -> Slot {
        Slot { space: Arc::clone(&self.space), key: written(key).into() }
    }

    /// Those of many.
    pub(super) fn slots(&self, keys: &[K]) -> Vec<Slot> {
        let mut parts = KeyParts::default();
        let slot = |key| Slot { space: Arc::clone(&self.space), key: written_by(key, &mut parts) };
        keys.iter().map(slot).collect()
    }

    /// How everything stands now, for a question after `key`.
    pub(super) fn stamp(&self, key: &str, policy: &Policy) -> Stamp {
        let tags = self.store.tags.stamps(policy.tags.iter().map(MarkName::of_tag));
        self.epochs.stamp(key, tags, self.store.now())
    }

    /// The same for a question after many.
    pub(super) fn stamps(&self, slots: &[Slot], policy: &Policy) -> Vec<Stamp> {
        let tags = self.store.tags.stamps(policy.tags.iter().map(MarkName::of_tag));
        let now = self.store.now();
        slots.iter().map(|slot| self.epochs.stamp(&slot.key, tags.clone(), now)).collect()
    }

    /// The same for a question that may follow another one, or be followed.
    pub(super) fn asker(&self, key: &str, policy: &Arc<Policy>, loading: &Loading) -> Asker {
        Asker {
            stamp: self.stamp(key, policy),
            moment: self.tags().moment(),
            policy: Arc::clone(policy),
            within: loading.is_within(self.store.id()),
        }
    }

    /// Whether nothing ended what was asked for then, as far as can be known.
    pub(super) fn is_trusted(&self, stamp: &Stamp) -> bool {
        // ORDER: what was missed while nothing was heard is ended before the others are heard again.
        self.store.is_heard_or_young(stamp.at, self.store.now()) && self.epochs.is_current(stamp)
    }

    /// What is kept in memory, from now on.
    pub(super) fn entry(&self, value: Option<Arc<V>>, lives: Lives, weight: usize, stamp: Stamp) -> Entry<V> {
        Entry::new(value, lives, weight, stamp, &self.config.policy, self.store.now())
    }

    /// Into memory with it; false when it was ended meanwhile. What is dead on arrival need not arrive, least of all
    /// over what is alive.
    pub(super) fn keep(&self, key: K, written: &str, entry: Entry<V>) -> bool {
        let alive = self.epochs.is_current(&entry.stamp);
        if alive && !self.memory.insert(key, written, entry) {
            self.unusable(Reason::TooHeavy);
        }
        alive
    }

    pub(super) fn stats(&self) -> Stats {
        let Self { metrics, memory, .. } = self;
        Stats {
            hits_memory: metrics.hits_memory.get(),
            hits_shared: metrics.hits_shared.get(),
            misses: metrics.misses.get(),
            stale: metrics.stale.get(),
            stale_if_error: metrics.stale_if_error.get(),
            absent: metrics.absent.get(),
            loads: metrics.loads.get(),
            refreshes: metrics.refreshes.get(),
            followers: metrics.followers.get(),
            load_errors: metrics.load_errors.get(),
            refused: metrics.refused.get(),
            unusable: metrics.unusable.iter().map(Count::get).sum(),
            lease_waits: metrics.lease_waits.get(),
            invalidations: metrics.invalidations.get(),
            read_bytes: metrics.read_bytes.get(),
            written_bytes: metrics.written_bytes.get(),
            entries: memory.len(),
            weight: memory.weight(),
        }
    }

    /// What is old was answered: meanwhile, or in place of a load that failed.
    pub(super) fn count_old(&self, outcome: Outcome) {
        match outcome {
            Outcome::StaleIfError => self.metrics.stale_if_error.add(),
            _ => self.metrics.stale.add(),
        }
    }

    /// A value is not kept, or cannot be read.
    pub(super) fn unusable(&self, reason: Reason) {
        self.unusable.of(reason, &self.metrics, &self.config);
    }

    pub(super) fn tags(&self) -> &Tags {
        &self.store.tags
    }
}

impl<K: CacheKey, V: Send + Sync + 'static> Member for Inner<K, V> {
    fn ended(&self, key: &str) {
        self.epochs.end(key);
    }

    fn ended_all(&self, mark: Option<(Mark, u64)>) {
        self.epochs.cell.end(mark);
        self.memory.clear();
    }

    fn count_ended(&self) {
        self.metrics.invalidations.add();
    }

    fn filled(&self, key: &str) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = waiting.get(key).and_then(Weak::upgrade) {
            waiter.notify_waiters();
        }
    }

    fn publish(&self) {
        self.metrics.publish();
        self.metrics.weight.set(self.memory.weight());
        self.metrics.entries.set(self.memory.len());
    }

    fn stats(&self) -> CacheStats {
        CacheStats { name: self.config.name.clone(), version: self.config.version, stats: self.stats() }
    }
}
