//! The ids that a room has seen, which outlive the events.

use std::collections::{HashSet, VecDeque};

/// Ids of a room that are remembered. A broker delivers again what was on its way when a link broke, and a relay what
/// was not confirmed: hundreds of events at most, however large they are.
const IDS: usize = 1_024;

/// The newest ids of a room, by their hashes: 26 KiB when there are enough.
///
/// 64 bits under a key drawn at the start: that a new id is taken for an old one happens once in 10^16 events, and
/// nobody can make it happen.
#[derive(Default)]
pub(super) struct Recent {
    hashes: HashSet<u64>,
    /// The same, oldest first.
    order: VecDeque<u64>,
}

// === impl Recent ===

impl Recent {
    pub(super) fn has(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    /// Remembers an id that is not there, in place of the oldest when there are enough; says by how many they grew.
    pub(super) fn push(&mut self, hash: u64) -> usize {
        let before = self.len();
        if before == IDS {
            self.forget(1);
        }
        self.hashes.insert(hash);
        self.order.push_back(hash);
        self.len() - before
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Forgets the older half, or more; says how many those were.
    pub(super) fn halve(&mut self) -> usize {
        let older = self.len().div_ceil(2);
        self.forget(older);
        self.hashes.shrink_to_fit();
        self.order.shrink_to_fit();
        older
    }

    fn forget(&mut self, oldest: usize) {
        for hash in self.order.drain(..oldest) {
            self.hashes.remove(&hash);
        }
    }
}
