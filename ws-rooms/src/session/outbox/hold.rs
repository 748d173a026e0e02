//! Frames held while a room's history is read.

use std::sync::Arc;

use crate::config::SlowPolicy;
use crate::protocol::{GapReason, Position, RoomId};
use crate::publication::Entry;

/// The frames of a room that wait until its recovery is answered.
pub(super) struct Hold {
    pub(super) room: RoomId,
    items: Vec<Held>,
    bytes: usize,
    /// Set when the bound was reached: the newest place seen, up to which nothing can be told.
    pub(super) overflow: Option<Position>,
}

/// A frame that waits.
pub(super) enum Held {
    Entry(Arc<Entry>, SlowPolicy),
    Gap(Position, GapReason),
}

// === impl Hold ===

impl Hold {
    pub(super) fn new(room: RoomId) -> Self {
        Self { room, items: Vec::new(), bytes: 0, overflow: None }
    }

    pub(super) fn take_gap(&mut self, at: &Position, reason: GapReason) {
        match &mut self.overflow {
            Some(seen) => *seen = at.clone(),
            None => self.items.push(Held::Gap(at.clone(), reason)),
        }
    }

    pub(super) fn take(&mut self, entry: &Arc<Entry>, policy: SlowPolicy, bound: usize) {
        if let Some(seen) = &mut self.overflow {
            *seen = entry.position.clone();
            return;
        }
        self.bytes += entry.fanout.publication().event().len();
        if self.bytes > bound {
            self.items = Vec::new();
            self.overflow = Some(entry.position.clone());
        } else {
            self.items.push(Held::Entry(Arc::clone(entry), policy));
        }
    }

    /// The place just before the first frame that waits.
    pub(super) fn before_first(&self) -> Option<Position> {
        match self.items.first()? {
            Held::Entry(entry, _) => {
                let Position { epoch, offset, .. } = &entry.position;
                Some(Position::new(Arc::clone(epoch), offset.saturating_sub(1)))
            }
            Held::Gap(..) => None,
        }
    }

    /// What the history read does not cover. Items stand in the order of the room.
    ///
    /// What the source itself lost is in no history: it is covered only by an answer that is to `reload` anyway.
    pub(super) fn beyond(self, read: &Position, reload: bool) -> impl Iterator<Item = Held> + use<> {
        let covered = |item: &Held| {
            let at = item.position();
            at.epoch == read.epoch && at.offset <= read.offset
        };
        let skip = match self.items.iter().rposition(covered) {
            Some(last) => last + 1,
            // Nothing of it is covered: an older numbering before the one that was read is.
            None => self.items.iter().position(|item| item.position().epoch == read.epoch).unwrap_or(0),
        };
        let lost_at_source = move |item: &Held| !reload && matches!(item, Held::Gap(_, GapReason::Source));
        self.items
            .into_iter()
            .enumerate()
            .filter(move |(index, item)| *index >= skip || lost_at_source(item))
            .map(|(_, item)| item)
    }
}

// === impl Held ===

impl Held {
    fn position(&self) -> &Position {
        match self {
            Self::Entry(entry, _) => &entry.position,
            Self::Gap(at, _) => at,
        }
    }
}
