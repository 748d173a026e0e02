//! Who reads the shared tier for itself.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The keys, by their hashes, that callers read in their own futures, where nobody may wait for them. Of two keys with
/// one hash the second is not read so.
#[derive(Debug, Default)]
pub(super) struct Glances(Mutex<Hashes>);

pub(super) type Hashes = HashSet<u64, BuildHasherDefault<Same>>;

/// Takes a hash for its own.
#[derive(Debug, Default)]
pub(super) struct Same(u64);

// === impl Glances ===

impl Glances {
    pub(super) fn lock(&self) -> MutexGuard<'_, Hashes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
