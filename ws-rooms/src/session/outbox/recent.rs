//! Which events a connection has had, for those that go to several rooms.

use std::collections::VecDeque;

/// Events that are remembered. All of an event's rooms follow each other on a node; where a backplane brings each room
/// by itself, others may come between. Whoever is further apart comes twice, with the same id, which clients drop.
const IDS: usize = 16;
/// Events that are remembered while rooms are held, whose events come out one room after the other.
const IDS_HELD: usize = 1_024;

/// The last events of several rooms that a connection got as `event`, by a hash of their ids.
#[derive(Default)]
pub(super) struct Recent {
    ids: VecDeque<u64>,
    held: bool,
}

// === impl Recent ===

impl Recent {
    pub(super) fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// Remembers an event, in place of the oldest when there are enough.
    pub(super) fn push(&mut self, id: u64) {
        if self.ids.len() >= if self.held { IDS_HELD } else { IDS } {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.ids.retain(|known| *known != id);
    }

    /// Rooms are held from here on.
    pub(super) fn keep(&mut self) {
        self.held = true;
    }

    /// No room is held any more.
    pub(super) fn settle(&mut self) {
        self.held = false;
        let over = self.ids.len().saturating_sub(IDS);
        self.ids.drain(..over);
        self.ids.shrink_to(IDS);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}
