//! The memory of this process.

use std::fmt;
use std::hash::Hash;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::entry::Entry;

/// Entries bounded by weight and by number; the least used go.
pub(crate) struct Memory<K, V> {
    entries: Cache<K, Entry<V>, ByWeight>,
}

#[derive(Clone)]
struct ByWeight {
    /// What an entry weighs at least, so that no more than the allowed number fit.
    least: u64,
}

/// What an entry costs beside its value: its own fields, the key, the table's slots, counted pointers.
const OVERHEAD: u64 = 200;

/// A typical answer, with what it costs beside its value.
const TYPICAL: u64 = 1024;

// === impl Memory ===

impl<K: Eq + Hash, V> Memory<K, V> {
    pub(crate) fn new(max_weight: u64, max_entries: u64) -> Self {
        let weighter = ByWeight { least: (max_weight / max_entries.max(1)).max(OVERHEAD) };
        // How many are remembered that were pushed out, and may come back: half as many as are expected to be held.
        let expected = usize::try_from((max_weight / TYPICAL).min(max_entries).max(16)).unwrap_or(usize::MAX);
        Self { entries: Cache::with_weighter(expected, max_weight, weighter) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<Entry<V>> {
        self.entries.get(key)
    }

    pub(crate) fn insert(&self, key: K, entry: Entry<V>) {
        self.entries.insert(key, entry);
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

impl<K, V> fmt::Debug for Memory<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

// === impl ByWeight ===

impl<K, V> Weighter<K, Entry<V>> for ByWeight {
    fn weight(&self, _: &K, entry: &Entry<V>) -> u64 {
        (u64::from(entry.weight) + OVERHEAD).max(self.least)
    }
}
