//! Who reads the shared tier for itself.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::flight::Flights;

/// The keys, by their hashes, that callers read in their own futures, where nobody may wait for them. Of two keys with
/// one hash the second is not read so.
///
/// As many as such callers ask for; how many there are has a bound ([`Shared::glances`](crate::store::Shared::glances)).
pub(super) type Hashes = HashSet<u64, BuildHasherDefault<Same>>;

/// That someone reads for itself, until it is dropped.
#[derive(Debug)]
pub(crate) struct Glancing<'a, K: Eq + Hash, V, H: AsRef<[u64]>> {
    flights: &'a Flights<K, V>,
    hashes: H,
}

/// The same for many keys.
pub(crate) type GlancingMany<'a, K, V> = Glancing<'a, K, V, Vec<u64>>;

/// Takes a hash for its own.
#[derive(Debug, Default)]
pub(super) struct Same(u64);

// === impl Flights ===

impl<K: Eq + Hash, V> Flights<K, V> {
    /// Lets the caller read this key for itself, as long as it holds what it gets; none when someone asks already.
    pub(crate) fn glance(&self, key: &K) -> Option<Glancing<'_, K, V, [u64; 1]>> {
        let hash = self.hash(key);
        // Made only then: who may not has nothing to drop.
        self.begin(hash, key).then(|| Glancing { flights: self, hashes: [hash] })
    }

    /// The same for many: those that it may read for itself, and the rest.
    pub(crate) fn glance_many(&self, keys: Vec<K>) -> (GlancingMany<'_, K, V>, Vec<K>, Vec<K>) {
        let mut glancing = Glancing { flights: self, hashes: Vec::with_capacity(keys.len()) };
        let (mut own, mut rest) = (Vec::with_capacity(keys.len()), Vec::new());
        for key in keys {
            let hash = self.hash(&key);
            if self.begin(hash, &key) {
                glancing.hashes.push(hash);
                own.push(key);
            } else {
                rest.push(key);
            }
        }
        (glancing, own, rest)
    }

    /// Whether nobody asks for it, so that someone does from now on.
    fn begin(&self, hash: u64, key: &K) -> bool {
        let mut shard = self.shard_of(hash);
        !shard.flights.contains_key(key) && shard.glances.insert(hash)
    }
}

// === impl Glancing ===

impl<K: Eq + Hash, V, H: AsRef<[u64]>> Drop for Glancing<'_, K, V, H> {
    fn drop(&mut self) {
        for hash in self.hashes.as_ref() {
            self.flights.shard_of(*hash).glances.remove(hash);
        }
    }
}

// === impl Same ===

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
