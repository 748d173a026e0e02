//! The memory of this process.

use std::fmt;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::entry::Entry;
use crate::key::Key;

/// Entries bounded by weight; the least used go.
pub(crate) struct Memory {
    entries: Cache<Key, Arc<Entry>, ByWeight>,
}

#[derive(Clone)]
struct ByWeight;

/// The size of an entry that the table is made for; it grows when they are smaller.
const TYPICAL: u64 = 8 * 1024;

// === impl Memory ===

impl Memory {
    pub(crate) fn new(max_weight: u64) -> Self {
        let items = usize::try_from(max_weight / TYPICAL).unwrap_or(usize::MAX);
        Self { entries: Cache::with_weighter(items.max(16), max_weight, ByWeight) }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    pub(crate) fn insert(&self, key: Key, entry: Entry) {
        self.entries.insert(key, Arc::new(entry));
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.entries.remove(key);
    }

    pub(crate) fn clear(&self) {
        self.entries.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.entries.weight()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("entries", &self.len()).field("weight", &self.weight()).finish()
    }
}

// === impl ByWeight ===

impl Weighter<Key, Arc<Entry>> for ByWeight {
    fn weight(&self, key: &Key, entry: &Arc<Entry>) -> u64 {
        entry.weight + key.as_str().len() as u64
    }
}
