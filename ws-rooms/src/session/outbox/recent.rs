//! Which events a connection has had, for those that go to several rooms.

use std::collections::VecDeque;

/// Events that are remembered. All of an event's rooms follow each other on a node; where a backplane brings each room
/// by itself, others may come between. Whoever is further apart comes twice, with the same id, which clients drop.
const IDS: usize = 16;

/// The last events of several rooms that a connection got as `event`, by a hash of their ids.
#[derive(Default)]
pub(super) struct Recent(VecDeque<u64>);

// === impl Recent ===

impl Recent {
    pub(super) fn has(&self, id: u64) -> bool {
        self.0.contains(&id)
    }

    /// Remembers an event, in place of the oldest when there are enough.
    pub(super) fn push(&mut self, id: u64) {
        if self.0.len() == IDS {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.0.retain(|known| *known != id);
    }
}
