//! Who reads the shared tier for itself.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The keys, by their hashes, that callers read in their own futures, where nobody may wait for them. Of two keys with
/// one hash the second is not read so.
///
/// As many as such callers ask for; how many there are has a bound ([`Shared::glances`](crate::store::Shared::glances)).
#[derive(Debug, Default)]
pub(super) struct Glances(Mutex<Hashes>);

pub(super) type Hashes = HashSet<u64, BuildHasherDefault<Same>>;

/// That someone reads for itself, until it is dropped.
#[derive(Debug)]
pub(crate) struct Glancing<'a, H: AsRef<[u64]>> {
    glances: &'a Glances,
    hashes: H,
}

/// Takes a hash for its own.
#[derive(Debug, Default)]
pub(super) struct Same(u64);

// === impl Glances ===

impl Glances {
    /// None when someone does already.
    pub(super) fn begin(&self, hash: u64) -> Option<Glancing<'_, [u64; 1]>> {
        let first = self.lock().insert(hash);
        // Made only then: who is not the first has nothing to drop.
        first.then(|| Glancing { glances: self, hashes: [hash] })
    }

    /// The same for many: those where nobody does, and the rest.
    pub(super) fn begin_many<K>(&self, hashed: Vec<(u64, K)>) -> (Glancing<'_, Vec<u64>>, Vec<K>, Vec<K>) {
        let mut glancing = Glancing { glances: self, hashes: Vec::with_capacity(hashed.len()) };
        let (mut first, mut rest) = (Vec::with_capacity(hashed.len()), Vec::new());
        let mut hashes = self.lock();
        for (hash, key) in hashed {
            if hashes.insert(hash) {
                glancing.hashes.push(hash);
                first.push(key);
            } else {
                rest.push(key);
            }
        }
        drop(hashes);
        (glancing, first, rest)
    }

    fn lock(&self) -> MutexGuard<'_, Hashes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Glancing ===

impl<H: AsRef<[u64]>> Glancing<'_, H> {
    pub(super) fn hashes(&self) -> &[u64] {
        self.hashes.as_ref()
    }
}

impl<H: AsRef<[u64]>> Drop for Glancing<'_, H> {
    fn drop(&mut self) {
        let mut glances = self.glances.lock();
        for hash in self.hashes.as_ref() {
            glances.remove(hash);
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
