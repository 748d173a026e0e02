//! What goes when there is no room: nobody, the oldest of the room, or all but the latest.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::SlowPolicy;
use crate::protocol::{Close, GapReason, Position, RoomId};
use crate::publication::Entry;

use super::{Gap, Kind, Outbox, Queued};

/// How much of what waits of a room goes.
#[derive(Clone, Copy)]
enum Goes {
    All,
    /// The older half, one at least: a queue that is full stays so for a while, and is not walked for each event.
    OlderHalf,
}

impl Outbox {
    /// Queues an entry; says how many were dropped, this one or others for it.
    pub(super) fn enqueue(&mut self, entry: &Arc<Entry>, policy: SlowPolicy) -> u64 {
        let mut dropped = 0;
        if policy == SlowPolicy::Latest {
            dropped += self.drop_waiting(&entry.room, Goes::All);
        }
        loop {
            let id = entry.fanout.shared_id();
            let known = id.is_some_and(|id| self.recent.has(id));
            let make = if known { Queued::position } else { Queued::event };
            let queued = make(Arc::clone(entry), policy);
            if self.fits(queued.live()) {
                if known {
                    entry.fanout.count_position();
                } else {
                    entry.fanout.count_event();
                    id.into_iter().for_each(|id| self.recent.push(id));
                }
                self.append(queued);
                return dropped;
            }
            // What makes room may be what this entry would have been the second of: then it is the first.
            let gone = match policy {
                SlowPolicy::Close => self.make_room(queued.live()),
                SlowPolicy::DropOldest | SlowPolicy::Latest => {
                    self.drop_waiting(&entry.room, Goes::OlderHalf)
                }
            };
            if gone > 0 {
                dropped += gone;
                continue;
            }
            // Nothing is left that could go, so what must stay fills the queue.
            entry.fanout.count_dropped();
            match policy {
                SlowPolicy::Close => self.close(Close::TOO_SLOW),
                SlowPolicy::DropOldest | SlowPolicy::Latest => {
                    self.enqueue_gap(&entry.room, &entry.position, GapReason::Slow, policy);
                }
            }
            return dropped + 1;
        }
    }

    /// Queues a gap behind what waits of the room; says how many entries were dropped for it.
    pub(super) fn enqueue_gap(
        &mut self,
        room: &RoomId,
        at: &Position,
        reason: GapReason,
        policy: SlowPolicy,
    ) -> u64 {
        let mut gap = Gap { room: room.clone(), at: at.clone(), reason };
        let queue = self.queue.many();
        if let Some(index) = queue.iter().rposition(|queued| queued.is_of(room) || queued.places(room))
            && let Queued::Other(_, Kind::Gap(before)) = &queue[index]
        {
            // Nothing comes between the two: the later one says it all.
            gap.reason = reason.or(before.reason);
            self.replace(index, Queued::gap(gap));
            return 0;
        }
        let queued = Queued::gap(gap);
        let mut dropped = 0;
        if policy == SlowPolicy::Close {
            dropped = self.make_room(queued.live());
            if !self.fits(queued.live()) {
                self.close(Close::TOO_SLOW);
                return dropped;
            }
        } else if !self.fits(queued.live()) {
            dropped = self.drop_waiting(room, Goes::All);
            if dropped > 0 {
                // Into the gap that stands in their place now.
                return dropped + self.enqueue_gap(room, at, reason, policy);
            }
            // The only frame of its room, so all rooms of a connection have one each at most.
        }
        self.append(queued);
        dropped
    }

    pub(super) fn fits(&self, live: usize) -> bool {
        self.live_bytes + live <= self.queue_bound
    }

    /// Makes room for what must not be dropped, out of the rooms whose own may be; says how many entries went. A slow
    /// reader is not cut over what it might as well have missed.
    pub(super) fn make_room(&mut self, live: usize) -> u64 {
        let mut gone = 0;
        while !self.fits(live)
            && let Some(room) = self.queue.many().iter().find_map(Queued::may_go).cloned()
        {
            gone += self.drop_waiting(&room, Goes::OlderHalf);
        }
        gone
    }

    /// Drops waiting entries of a room, the oldest first, and puts one gap in the place of the first; says how many.
    fn drop_waiting(&mut self, room: &RoomId, goes: Goes) -> u64 {
        let waiting = self.queue.iter().filter(|queued| queued.is_entry() && queued.is_of(room)).count();
        let mut left = match goes {
            Goes::All => waiting,
            Goes::OlderHalf => waiting.div_ceil(2),
        };
        if left == 0 {
            return 0;
        }
        let gone = left as u64;
        let mut kept = VecDeque::with_capacity(self.queue.len());
        // Where the gap goes, and what it says: everything of the room up to the last that is dropped is in it.
        let mut gap: Option<(usize, Gap)> = None;
        let mut orphans = Vec::new();
        for queued in std::mem::take(self.queue.many()) {
            if queued.places(room) {
                // The client goes on from this place: what is dropped before it is one gap, and what behind it another.
                if let Some((index, gap)) = gap.take() {
                    kept.insert(index, Queued::gap(gap));
                }
                kept.push_back(queued);
                continue;
            }
            // A gap right behind the last dropped one is told with it.
            let drops = queued.is_of(room) && (left > 0 || !queued.is_entry() && gap.is_some());
            if !drops {
                if queued.is_entry() && queued.is_of(room) {
                    // From here on the room goes on as it was.
                    if let Some((index, gap)) = gap.take() {
                        kept.insert(index, Queued::gap(gap));
                    }
                }
                kept.push_back(queued);
                continue;
            }
            let (at, reason) = match queued {
                Queued::Other(_, Kind::Gap(gap)) => (gap.at, gap.reason),
                Queued::Other(..) => continue,
                Queued::Entry { entry, as_event, .. } => {
                    left -= 1;
                    entry.fanout.count_dropped();
                    let at = entry.position.clone();
                    if as_event {
                        orphans.push(entry);
                    }
                    (at, GapReason::Slow)
                }
            };
            match &mut gap {
                Some((_, gap)) => (gap.at, gap.reason) = (at, gap.reason.or(reason)),
                None => gap = Some((kept.len(), Gap { room: room.clone(), at, reason })),
            }
        }
        if let Some((index, gap)) = gap {
            kept.insert(index, Queued::gap(gap));
        }
        self.queue = kept.into();
        self.bytes = self.queue.iter().map(|queued| queued.text().len()).sum();
        self.live_bytes = self.queue.iter().map(Queued::live).sum();
        for orphan in orphans {
            self.comes_elsewhere(&orphan);
        }
        gone
    }

    /// An event was dropped in the first of its rooms: it comes in the next, whose policy may be another.
    fn comes_elsewhere(&mut self, orphan: &Arc<Entry>) {
        let Some(id) = orphan.fanout.shared_id() else { return };
        let next = self.queue.iter().position(|queued| match queued {
            Queued::Entry { entry, as_event, .. } => !as_event && entry.fanout.shared_id() == Some(id),
            Queued::Other(..) => false,
        });
        match next {
            Some(index) => {
                if let Queued::Entry { entry, policy, .. } = &self.queue.many()[index] {
                    let event = Queued::event(Arc::clone(entry), *policy);
                    self.replace(index, event);
                }
            }
            None => self.recent.forget(id),
        }
    }

    fn replace(&mut self, index: usize, queued: Queued) {
        self.count(&queued);
        let before = std::mem::replace(&mut self.queue.many()[index], queued);
        self.uncount(&before);
    }
}
