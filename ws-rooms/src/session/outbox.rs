//! What waits for a connection: bounded in bytes, with a policy when full.

mod hold;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::backplane::Recovery;
use crate::config::SlowPolicy;
use crate::protocol::codec::{self, Text};
use crate::protocol::{Close, GapReason, NotRecovered, Position, RoomId};
use crate::publication::Entry;
use crate::session::ConnId;

use self::hold::{Held, Hold};

/// The bounded queue of one connection.
///
/// Live frames count against the bound; answers do not, because a request is only taken up when
/// there is room ([`Outbox::has_room`]), so at most one answer stands above it.
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    bytes: usize,
    live_bytes: usize,
    /// Rooms whose frames wait until their recovery is answered; a handful at most.
    holds: Vec<Hold>,
    /// Rooms of which frames were dropped and that have not been told yet.
    gaps: Vec<Dropped>,
    close: Option<Close>,
    queue_bound: usize,
    hold_bound: usize,
}

/// A frame that waits.
pub(crate) struct Queued {
    pub(crate) text: Text,
    /// When its event was published, for the lag.
    pub(crate) at: Option<Instant>,
    /// Counts against the bound.
    live: bool,
}

/// A room that was joined or is being recovered, and what its history said.
pub(crate) struct Joined {
    pub(crate) room: RoomId,
    pub(crate) recovery: Recovery,
}

struct Dropped {
    room: RoomId,
    at: Position,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(queue_bound: usize, hold_bound: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            live_bytes: 0,
            holds: Vec::new(),
            gaps: Vec::new(),
            close: None,
            queue_bound,
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
        self.close.as_ref()
    }

    pub(crate) fn close(&mut self, close: Close) {
        if self.close.is_some() {
            return;
        }
        self.holds.clear();
        self.gaps.clear();
        if !close.sends_the_rest() {
            self.clear();
        }
        self.close = Some(close);
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.live_bytes = 0;
    }

    /// Queues an answer.
    pub(crate) fn push(&mut self, text: Text) {
        if self.close.is_none() {
            self.bytes += text.len();
            self.queue.push_back(Queued { text, at: None, live: false });
        }
    }

    /// Queues a live frame without a number; cuts the connection when there is no room.
    pub(crate) fn notice(&mut self, text: &Text) {
        if self.close.is_some() {
            return;
        }
        if self.live_bytes + text.len() > self.queue_bound {
            return self.close(Close::TOO_SLOW);
        }
        self.bytes += text.len();
        self.live_bytes += text.len();
        self.queue.push_back(Queued { text: text.clone(), at: None, live: true });
    }

    /// Takes a live entry; says whether it was dropped.
    pub(crate) fn offer(&mut self, conn: ConnId, entry: &Arc<Entry>, policy: SlowPolicy) -> bool {
        if self.close.is_some() {
            return false;
        }
        if let Some(hold) = self.holds.iter_mut().find(|hold| hold.room == entry.room) {
            hold.take(entry, policy, self.hold_bound);
            return false;
        }
        self.enqueue(conn, entry, policy)
    }

    /// Tells of a gap, after what is queued.
    pub(crate) fn gap(&mut self, room: &RoomId, at: &Position, reason: GapReason) {
        if self.close.is_some() {
            return;
        }
        if let Some(hold) = self.holds.iter_mut().find(|hold| hold.room == *room) {
            return hold.take_gap(at, reason);
        }
        // It tells more than the drop that it follows.
        self.gaps.retain(|gap| gap.room != *room);
        self.push(codec::gap(room, at, reason));
    }

    /// From here on, frames of the room wait for [`release`](Self::release).
    pub(crate) fn hold(&mut self, room: &RoomId) {
        if self.close.is_none() && !self.holds.iter().any(|hold| hold.room == *room) {
            self.holds.push(Hold::new(room.clone()));
        }
    }

    /// Queues the answer made of what the histories said, then what was held beyond them.
    /// Says how many frames were dropped.
    ///
    /// A hold that overflowed turns its recovery into «too many», up to the newest place seen.
    pub(crate) fn release(
        &mut self,
        conn: ConnId,
        mut joined: Vec<Joined>,
        answer: impl FnOnce(&[Joined]) -> Text,
    ) -> u64 {
        let held: Vec<_> = joined.iter_mut().flat_map(|joined| self.unhold(joined)).collect();
        self.push(answer(&joined));
        self.let_go(conn, held)
    }

    /// Lets the frames of a room go whose history could not be read.
    pub(crate) fn release_blind(&mut self, conn: ConnId, room: &RoomId) -> u64 {
        let nowhere = Recovery::new(Position::new("", 0), None);
        let mut joined = Joined { room: room.clone(), recovery: nowhere };
        let held = self.unhold(&mut joined);
        let mut dropped = self.let_go(conn, held);
        let at = joined.recovery.position;
        if !at.epoch.is_empty() {
            // The hold overflowed, and no history covers it.
            dropped += 1;
            self.gap(room, &at, GapReason::Slow);
        }
        dropped
    }

    fn unhold(&mut self, joined: &mut Joined) -> Vec<(RoomId, Held)> {
        let Joined { room, recovery } = joined;
        let Some(index) = self.holds.iter().position(|hold| hold.room == *room) else {
            return Vec::new();
        };
        if recovery.missed.is_some() {
            // Whatever was dropped before is covered by the answer.
            self.gaps.retain(|gap| gap.room != *room);
        }
        let hold = self.holds.swap_remove(index);
        if let Some(position) = hold.overflow {
            recovery.position = position;
            if recovery.missed.is_some() {
                recovery.missed = Some(Err(NotRecovered::TooMany));
            }
            return Vec::new();
        }
        if recovery.missed.is_none()
            && let Some(before) = hold.before_first()
            && before.epoch == recovery.position.epoch
        {
            // The answer brings no events, so it must not claim those that wait here: they follow it.
            recovery.position = before;
        }
        let beyond = hold.beyond(&recovery.position, recovery.missed.as_ref());
        beyond.map(|item| (room.clone(), item)).collect()
    }

    fn let_go(&mut self, conn: ConnId, held: Vec<(RoomId, Held)>) -> u64 {
        let mut dropped = 0;
        for (room, item) in held {
            match item {
                Held::Entry(entry, policy) => {
                    if self.offer(conn, &entry, policy) {
                        entry.fanout.count_dropped();
                        dropped += 1;
                    }
                }
                Held::Gap(at, reason) => self.gap(&room, &at, reason),
            }
        }
        dropped
    }

    /// Forgets a room that was left.
    pub(crate) fn forget(&mut self, room: &RoomId) {
        self.holds.retain(|hold| hold.room != *room);
        self.gaps.retain(|gap| gap.room != *room);
    }

    /// The next frames to write, some `bytes` of them, at least one if there is one.
    pub(crate) fn take(&mut self, bytes: usize, into: &mut Vec<Queued>) {
        let mut taken = 0;
        while taken < bytes
            && let Some(queued) = self.queue.pop_front()
        {
            taken += queued.text.len();
            self.bytes -= queued.text.len();
            if queued.live {
                self.live_bytes -= queued.text.len();
            }
            into.push(queued);
        }
        if self.queue.is_empty() {
            // Tell of drops as soon as there is room, even if the room stays silent from now on.
            for gap in std::mem::take(&mut self.gaps) {
                self.push(codec::gap(&gap.room, &gap.at, GapReason::Slow));
            }
            if self.queue.capacity() > 64 {
                // A burst must not keep its memory for an idle connection's whole life.
                self.queue.shrink_to(8);
            }
        }
    }

    fn enqueue(&mut self, conn: ConnId, entry: &Arc<Entry>, policy: SlowPolicy) -> bool {
        let fanout = &entry.fanout;
        let known = fanout.has(conn);
        let text = if known { entry.position_frame() } else { entry.event_frame() };
        let full = self.live_bytes + text.len() > self.queue_bound;
        if full {
            match policy {
                SlowPolicy::Close => self.close(Close::TOO_SLOW),
                SlowPolicy::Gap => match self.gaps.iter_mut().find(|gap| gap.room == entry.room) {
                    Some(gap) => gap.at = entry.position.clone(),
                    None => self.gaps.push(Dropped { room: entry.room.clone(), at: entry.position.clone() }),
                },
            }
            return true;
        }
        if let Some(index) = self.gaps.iter().position(|gap| gap.room == entry.room) {
            let gap = self.gaps.swap_remove(index);
            self.push(codec::gap(&gap.room, &gap.at, GapReason::Slow));
        }
        self.bytes += text.len();
        self.live_bytes += text.len();
        self.queue.push_back(Queued { text: text.clone(), at: Some(fanout.at()), live: true });
        if known {
            fanout.count_position();
        } else {
            fanout.count_event(conn);
        }
        false
    }
}

#[cfg(test)]
mod tests;
