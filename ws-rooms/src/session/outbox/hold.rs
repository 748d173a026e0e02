//! Frames held while a room's history is read.

use std::sync::Arc;

use crate::backplane::Missed;
use crate::config::SlowPolicy;
use crate::protocol::{GapReason, NotRecovered, Position, RoomId};
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

    /// The place just before the first event that waits.
    pub(super) fn before_first(&self) -> Option<Position> {
        self.items.iter().find_map(|item| match item {
            Held::Entry(entry, _) => {
                let Position { epoch, offset, .. } = &entry.position;
                Some(Position::new(Arc::clone(epoch), offset.saturating_sub(1)))
            }
            Held::Gap(..) => None,
        })
    }

    /// What the answer does not cover, which says where the room stands and what was `missed`. Items stand in the order
    /// of the room.
    ///
    /// A gap that stands before the answer's place is told behind it, at that place: places never go back.
    pub(super) fn beyond(
        self,
        told: &Position,
        missed: Option<&Result<Vec<Missed>, NotRecovered>>,
    ) -> impl Iterator<Item = Held> + use<> {
        let covered = |item: &Held| {
            let at = item.position();
            at.epoch == told.epoch && at.offset <= told.offset
        };
        let skip = match self.items.iter().rposition(covered) {
            Some(last) => last + 1,
            // Nothing of it is covered: an older numbering before the one that was read is.
            None => self.items.iter().position(|item| item.position().epoch == told.epoch).unwrap_or(0),
        };
        let matters = move |reason| match missed {
            // Whoever asked for what was missed is to load everything anew.
            Some(Err(_)) => false,
            // What the source itself has lost is in no history.
            Some(Ok(_)) => reason == GapReason::Source,
            // The answer says nothing about what was before it.
            None => true,
        };
        let mut late: Option<GapReason> = None;
        for item in &self.items[..skip] {
            if let Held::Gap(_, reason) = item
                && matters(*reason)
            {
                late = Some(late.map_or(*reason, |before| before.or(*reason)));
            }
        }
        let late = late.map(|reason| Held::Gap(told.clone(), reason));
        late.into_iter().chain(self.items.into_iter().skip(skip))
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
