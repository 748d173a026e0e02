//! What waits for a connection: bounded in bytes, with a policy when full.

mod full;
mod hold;
mod recent;

use std::sync::Arc;

use tokio::time::Instant;

use crate::backplane::Recovery;
use crate::config::SlowPolicy;
use crate::protocol::codec::{self, Text};
use crate::protocol::{Close, GapReason, NotRecovered, Position, RoomId};
use crate::publication::Entry;
use crate::session::line::Line;

use self::hold::{Held, Hold};
use self::recent::Recent;

/// The bounded queue of one connection.
///
/// Live frames and gaps count against the bound; answers do not, because a request is only taken up when
/// there is room ([`Outbox::has_room`]), so at most one answer stands above it.
///
/// In this order, so that what each delivery needs stands together.
#[repr(C)]
pub(crate) struct Outbox {
    queue_bound: usize,
    bytes: usize,
    live_bytes: usize,
    close: Option<Box<Close>>,
    /// Rooms whose frames wait until their recovery is answered; a handful at most.
    holds: Vec<Hold>,
    queue: Line<Queued>,
    /// Which events of several rooms it has had.
    recent: Recent,
    hold_bound: usize,
}

/// A frame that waits.
pub(crate) enum Queued {
    /// A numbered entry, as `event` or as `position`: it has the frame, for all who get it.
    Entry {
        entry: Arc<Entry>,
        as_event: bool,
        policy: SlowPolicy,
    },
    Other(Text, Kind),
}

pub(crate) enum Kind {
    /// Asked for, or a sign of life; does not count against the bound.
    Answer,
    /// An answer that says where these rooms stand: what comes of them goes on from there.
    Placed(Box<[RoomId]>),
    /// Live, without a number.
    Notice,
    Gap(Box<Gap>),
}

pub(crate) struct Gap {
    room: RoomId,
    at: Position,
    reason: GapReason,
}

/// A room that was joined or is being recovered, and what its history said.
pub(crate) struct Joined {
    pub(crate) room: RoomId,
    pub(crate) recovery: Recovery,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(queue_bound: usize, hold_bound: usize) -> Self {
        Self {
            queue_bound,
            bytes: 0,
            live_bytes: 0,
            close: None,
            holds: Vec::new(),
            queue: Line::Empty,
            recent: Recent::default(),
            hold_bound,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing for the task to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.close.is_none()
    }

    /// Whether the next request may be taken up.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes <= self.queue_bound / 2
    }

    pub(crate) fn closing(&self) -> Option<&Close> {
        self.close.as_deref()
    }

    pub(crate) fn close(&mut self, close: Close) {
        if self.close.is_some() {
            return;
        }
        self.holds.clear();
        if !close.sends_the_rest() {
            self.clear();
        }
        self.close = Some(Box::new(close));
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.queue = Line::Empty;
        self.bytes = 0;
        self.live_bytes = 0;
    }

    /// Queues an answer.
    pub(crate) fn push(&mut self, text: Text) {
        if self.close.is_none() {
            self.append(Queued::Other(text, Kind::Answer));
        }
    }

    /// Queues a live frame without a number; cuts the connection when there is no room. Says how many frames were
    /// dropped for it.
    pub(crate) fn notice(&mut self, text: &Text) -> u64 {
        if self.close.is_some() {
            return 0;
        }
        let dropped = self.make_room(text.len());
        if self.fits(text.len()) {
            self.append(Queued::Other(text.clone(), Kind::Notice));
        } else {
            self.close(Close::TOO_SLOW);
        }
        dropped
    }

    /// Takes a live entry; says how many frames were dropped, this one or others for it.
    pub(crate) fn offer(&mut self, entry: &Arc<Entry>, policy: SlowPolicy) -> u64 {
        if self.close.is_some() {
            return 0;
        }
        if let Some(hold) = self.holds.iter_mut().find(|hold| hold.room == entry.room) {
            hold.take(entry, self.hold_bound);
            return 0;
        }
        self.enqueue(entry, policy)
    }

    /// Tells of a gap, after what is queued of the room; says how many frames were dropped for it.
    pub(crate) fn gap(&mut self, room: &RoomId, at: &Position, reason: GapReason, policy: SlowPolicy) -> u64 {
        if self.close.is_some() {
            return 0;
        }
        if let Some(hold) = self.holds.iter_mut().find(|hold| hold.room == *room) {
            hold.take_gap(at, reason, self.hold_bound);
            return 0;
        }
        self.enqueue_gap(room, at, reason, policy)
    }

    /// From here on, frames of the room wait for [`release`](Self::release).
    pub(crate) fn hold(&mut self, room: &RoomId, policy: SlowPolicy) {
        if self.close.is_none() && !self.holds.iter().any(|hold| hold.room == *room) {
            self.holds.push(Hold::new(room.clone(), policy));
            self.recent.keep();
        }
    }

    /// Queues the answer made of what the histories said, then what was held beyond them.
    /// Says how many frames were dropped.
    ///
    /// A hold that overflowed turns its recovery into «too many», up to the newest place seen.
    pub(crate) fn release(&mut self, mut joined: Vec<Joined>, answer: impl FnOnce(&[Joined]) -> Text) -> u64 {
        let held: Vec<_> = joined.iter_mut().filter_map(|joined| self.unhold(joined)).collect();
        if self.close.is_none() {
            let text = answer(&joined);
            let rooms = joined.into_iter().map(|joined| joined.room).collect();
            self.append(Queued::Other(text, Kind::Placed(rooms)));
        }
        let dropped = held.into_iter().map(|released| self.let_go(released)).sum();
        self.settle_recent();
        dropped
    }

    /// Lets the frames of a room go whose history could not be read.
    pub(crate) fn release_blind(&mut self, room: &RoomId) -> u64 {
        let nowhere = Recovery::new(Position::new("", 0), None);
        let mut joined = Joined { room: room.clone(), recovery: nowhere };
        let dropped = self.unhold(&mut joined).map_or(0, |released| self.let_go(released));
        self.settle_recent();
        dropped
    }

    fn unhold(&mut self, joined: &mut Joined) -> Option<Released> {
        let Joined { room, recovery } = joined;
        let index = self.holds.iter().position(|hold| hold.room == *room)?;
        let hold = self.holds.swap_remove(index);
        let policy = hold.policy;
        let released = |items| Some(Released { room: room.clone(), policy, items });
        if let Some((position, reason)) = &hold.overflow {
            recovery.position = position.clone();
            if recovery.missed.is_some() {
                recovery.missed = Some(Err(NotRecovered::TooMany));
                return None;
            }
            // The answer does not say that anything is missing before its place.
            return released(vec![Held::Gap(position.clone(), *reason)]);
        }
        if recovery.missed.is_none()
            && let Some(before) = hold.before_first()
            && before.epoch == recovery.position.epoch
        {
            // The answer brings no events, so it must not claim those that wait here: they follow it.
            recovery.position = before;
        }
        released(hold.beyond(&recovery.position, recovery.missed.as_ref()).collect())
    }

    fn let_go(&mut self, released: Released) -> u64 {
        let Released { room, policy, items } = released;
        let mut dropped = 0;
        for item in items {
            dropped += match item {
                Held::Entry(entry) => self.offer(&entry, policy),
                Held::Gap(at, reason) => self.gap(&room, &at, reason, policy),
            };
        }
        dropped
    }

    /// Forgets a room that was left.
    pub(crate) fn forget(&mut self, room: &RoomId) {
        self.holds.retain(|hold| hold.room != *room);
        self.settle_recent();
    }

    /// An event that waits in several holds comes out of them one after the other, and between them whatever else waits
    /// there: its id is known until the last is let go.
    fn settle_recent(&mut self) {
        if self.holds.is_empty() {
            self.recent.settle();
            // Holds that there are not need no memory.
            self.holds = Vec::new();
        }
    }

    /// Gives the next frames away, some `bytes` of them, at least one if there is one; says if there were any.
    pub(crate) fn take(&mut self, bytes: usize, mut to: impl FnMut(Queued)) -> bool {
        let mut taken = 0;
        while taken < bytes
            && let Some(queued) = self.queue.pop_front()
        {
            taken += queued.text().len();
            self.uncount(&queued);
            to(queued);
        }
        taken > 0
    }

    #[cfg(test)]
    pub(crate) fn is_holding(&self) -> bool {
        !self.holds.is_empty()
    }

    fn append(&mut self, queued: Queued) {
        self.count(&queued);
        self.queue.push_back(queued);
    }

    fn count(&mut self, queued: &Queued) {
        self.bytes += queued.text().len();
        self.live_bytes += queued.live();
    }

    fn uncount(&mut self, queued: &Queued) {
        self.bytes -= queued.text().len();
        self.live_bytes -= queued.live();
    }
}

/// What a hold lets go.
struct Released {
    room: RoomId,
    policy: SlowPolicy,
    items: Vec<Held>,
}

// === impl Queued ===

impl Queued {
    pub(crate) fn text(&self) -> &Text {
        match self {
            Self::Entry { entry, as_event: true, .. } => entry.event_frame(),
            Self::Entry { entry, .. } => entry.position_frame(),
            Self::Other(text, _) => text,
        }
    }

    pub(crate) fn into_text(self) -> Text {
        match self {
            Self::Entry { .. } => self.text().clone(),
            Self::Other(text, _) => text,
        }
    }

    /// When its event was published, for the lag.
    pub(crate) fn at(&self) -> Option<Instant> {
        match self {
            Self::Entry { entry, .. } => Some(entry.fanout.at()),
            Self::Other(..) => None,
        }
    }

    /// What of it counts against the bound.
    fn live(&self) -> usize {
        if matches!(self, Self::Other(_, Kind::Answer | Kind::Placed(_))) { 0 } else { self.text().len() }
    }

    fn event(entry: Arc<Entry>, policy: SlowPolicy) -> Self {
        Self::Entry { entry, as_event: true, policy }
    }

    fn position(entry: Arc<Entry>, policy: SlowPolicy) -> Self {
        Self::Entry { entry, as_event: false, policy }
    }

    fn gap(gap: Gap) -> Self {
        Self::Other(codec::gap(&gap.room, &gap.at, gap.reason), Kind::Gap(Box::new(gap)))
    }

    /// Whether it belongs to the numbers of this room.
    fn is_of(&self, room: &RoomId) -> bool {
        match self {
            Self::Entry { entry, .. } => entry.room == *room,
            Self::Other(_, Kind::Gap(gap)) => gap.room == *room,
            Self::Other(..) => false,
        }
    }

    /// Whether it says where this room stands, whatever came of it before.
    fn places(&self, room: &RoomId) -> bool {
        matches!(self, Self::Other(_, Kind::Placed(rooms)) if rooms.contains(room))
    }

    /// The room, if this may be dropped for what may not.
    fn may_go(&self) -> Option<&RoomId> {
        match self {
            Self::Entry { entry, policy: SlowPolicy::DropOldest | SlowPolicy::Latest, .. } => {
                Some(&entry.room)
            }
            _ => None,
        }
    }

    fn is_entry(&self) -> bool {
        matches!(self, Self::Entry { .. })
    }
}

#[cfg(test)]
mod tests;
