//! The memory of this process.

use std::fmt;
use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::entry::Entry;
use crate::key::{CacheKey, length};

/// Entries bounded by weight and by number; the least used go.
pub(crate) struct Memory<K, V> {
    entries: Cache<K, Entry<V>, ByWeight>,
    weighter: ByWeight,
    /// What one entry may weigh.
    most: u64,
}

#[derive(Clone)]
struct ByWeight {
    /// What an entry weighs at least, so that no more than the allowed number fit.
    least: u64,
}

/// What an entry costs beside its value, its key and its tags: its own fields, the table's slots, counted pointers.
const OVERHEAD: u64 = 200;

/// What a tag of an entry costs: its name, and where it stands.
const TAG: usize = 100;

/// What the largest value may have beside it: tags, as many as there may be, and a key of some length.
const BESIDE: u64 = 2 * 1024;

/// How much of a shard's weight one entry may have; the rest is for those that nobody has asked for twice.
const SHARE: f64 = 0.97;

/// A typical answer, with what it costs beside its value.
const TYPICAL: u64 = 1024;

// === impl Memory ===

impl<K: Eq + Hash, V> Memory<K, V> {
    /// `largest`: the weight of one value that must have a place.
    pub(crate) fn new(max_weight: u64, max_entries: u64, largest: usize) -> Self {
        // Of more than half of it, two do not fit.
        let least = (max_weight / max_entries.max(1)).min(max_weight / 2 + 1).max(OVERHEAD);
        let weighter = ByWeight { least };
        // How many are remembered that were pushed out, and may come back: half as many as are expected to be held.
        let expected = usize::try_from((max_weight / TYPICAL).min(max_entries).max(16)).unwrap_or(usize::MAX);
        // Each shard has its part of the weight for itself, and refuses what is larger than that. Four for each core do.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let largest = largest as u64 + BESIDE + OVERHEAD;
        let fit = max_weight / (2 * largest);
        let shards = usize::try_from(fit).unwrap_or(usize::MAX).min(4 * cores).max(1);
        // It is rounded up to a power of two.
        let shards = 1 << shards.ilog2();
        let options = OptionsBuilder::new()
            .estimated_items_capacity(expected)
            .weight_capacity(max_weight)
            .shards(shards)
            .hot_allocation(SHARE)
            .build()
            .expect("both capacities are set");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let entries = Cache::with_options(options, weighter.clone(), hasher, lifecycle);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "as it is reckoned there: a share of a weight"
        )]
        let most = (entries.shard_capacity() as f64 * SHARE) as u64;
        Self { entries, weighter, most }
    }

    pub(crate) fn get(&self, key: &K) -> Option<Entry<V>> {
        self.entries.get(key)
    }

    pub(crate) fn remove(&self, key: &K) {
        self.entries.remove(key);
    }

    pub(crate) fn clear(&self) {
        self.entries.clear();
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn weight(&self) -> u64 {
        self.entries.weight()
    }
}

impl<K: CacheKey, V> Memory<K, V> {
    /// `written`: the key as the shared tier knows it. False when it is heavier than any may be; what was there is gone as
    /// well.
    pub(crate) fn insert(&self, key: K, written: &str, mut entry: Entry<V>) -> bool {
        let tags = entry.stamp.tags().map_or(0, |tags| tags.iter().count());
        entry.beside = u32::try_from(length(&key, written) + tags * TAG).unwrap_or(u32::MAX);
        let fits = self.weighter.weight(&key, &entry) <= self.most;
        self.entries.insert(key, entry);
        fits
    }
}

impl<K, V> fmt::Debug for Memory<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

// === impl ByWeight ===

impl<K, V> Weighter<K, Entry<V>> for ByWeight {
    fn weight(&self, _: &K, entry: &Entry<V>) -> u64 {
        (u64::from(entry.weight) + u64::from(entry.beside) + OVERHEAD).max(self.least)
    }
}
