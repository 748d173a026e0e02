//! Frames held while a room's history is read.

use std::sync::Arc;

use crate::backplane::Missed;
use crate::config::SlowPolicy;
use crate::protocol::{GapReason, NotRecovered, Position, RoomId};
use crate::publication::Entry;

/// The frames of a room that wait until its recovery is answered.
pub(super) struct Hold {
    pub(super) room: RoomId,
    pub(super) policy: SlowPolicy,
    items: Vec<Held>,
    bytes: usize,
    /// Set when the bound was reached: the newest place seen, up to which nothing can be told, and why.
    pub(super) overflow: Option<(Position, GapReason)>,
}

/// A frame that waits.
pub(super) enum Held {
    Entry(Arc<Entry>),
    Gap(Position, GapReason),
}

/// What a gap counts for against the bound: about its frame.
const GAP_BYTES: usize = 128;

// === impl Hold ===

impl Hold {
    pub(super) fn new(room: RoomId, policy: SlowPolicy) -> Self {
        Self { room, policy, items: Vec::new(), bytes: 0, overflow: None }
    }

    pub(super) fn take_gap(&mut self, at: &Position, reason: GapReason, bound: usize) {
        if let Some(Held::Gap(place, before)) = self.items.last_mut() {
            // Nothing comes between the two: the later one says it all.
            (*place, *before) = (at.clone(), reason.or(*before));
        } else {
            self.push(Held::Gap(at.clone(), reason), GAP_BYTES, bound);
        }
    }

    pub(super) fn take(&mut self, entry: &Arc<Entry>, bound: usize) {
        let bytes = entry.fanout.publication().event().len();
        self.push(Held::Entry(Arc::clone(entry)), bytes, bound);
    }

    fn push(&mut self, item: Held, bytes: usize, bound: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.overflow.is_none() && self.bytes <= bound {
            self.items.push(item);
            return;
        }
        // What was held is as lost as this one.
        let lost = std::mem::take(&mut self.items);
        let reason = lost.iter().chain([&item]).fold(GapReason::Slow, |reason, item| match item {
            Held::Gap(_, other) => reason.or(*other),
            Held::Entry(_) => reason,
        });
        let before = self.overflow.take().map_or(reason, |(_, before)| before.or(reason));
        self.overflow = Some((item.position().clone(), before));
    }

    /// The place just before the first event that waits.
    pub(super) fn before_first(&self) -> Option<Position> {
        self.items.iter().find_map(|item| match item {
            Held::Entry(entry) => {
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
            Self::Entry(entry) => &entry.position,
            Self::Gap(at, _) => at,
        }
    }
}
