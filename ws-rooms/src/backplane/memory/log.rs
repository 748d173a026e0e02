//! The logs of some rooms: numbers, and a history bounded by count, bytes and age.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backplane::{Missed, Recovery, RecoveryBounds};
use crate::config::HistoryConfig;
use crate::protocol::{NotRecovered, Position, RoomId};
use crate::publication::Publication;

use super::recent::Recent;
use super::total::Total;

/// What an entry costs beside its text: the publication, the log's and the shard's queue places.
const ENTRY_OVERHEAD: usize = 160;
/// Rooms of a shard that are kept for their number alone, with nobody in and nothing to recover:
/// a user whose connection broke comes back to them. All shards together: 65,536 of some 200 bytes.
const IDLE_ROOMS: usize = 1_024;
/// Ids that the rooms of a shard remember together. All shards: 2 million, some 52 MiB. Beyond that each room of the
/// shard forgets the older half of its own.
const IDS: usize = 32_768;

/// The logs of one shard.
pub(super) struct Logs {
    rooms: HashMap<RoomId, Log>,
    /// All kept entries, oldest first, for trimming by age and by total bytes. May name entries
    /// that their room has dropped by itself; [`compact`](Self::compact) keeps those fewer than the rest.
    oldest: VecDeque<Kept>,
    /// Rooms that the last member or, with nobody in, the last event has left, oldest first. A mark counts while the room's own agrees.
    idle: VecDeque<(RoomId, Instant)>,
    /// Entries kept by all rooms together; half of `oldest` at least.
    entries: usize,
    bytes: usize,
    /// Ids remembered by all rooms together.
    ids: usize,
    /// Which of the shards in `total` this one is.
    index: usize,
    pub(super) total: Arc<Total>,
    history: Arc<HistoryConfig>,
    hasher: RandomState,
}

struct Log {
    epoch: Arc<str>,
    /// The number of the newest entry; the kept ones are the last `kept.len()` up to it.
    offset: u64,
    kept: VecDeque<Arc<Publication>>,
    bytes: usize,
    recent: Recent,
    /// Members of all nodes. A log with members is never forgotten.
    members: usize,
    /// When the last member left, or the last event went from a room that nobody is in; the room is remembered for as
    /// long as an event would be.
    left: Option<Instant>,
}

struct Kept {
    room: RoomId,
    epoch: Arc<str>,
    offset: u64,
    at: Instant,
}

// === impl Logs ===

impl Logs {
    pub(super) fn new(history: Arc<HistoryConfig>, total: Arc<Total>, index: usize) -> Self {
        Self {
            rooms: HashMap::new(),
            oldest: VecDeque::new(),
            idle: VecDeque::new(),
            entries: 0,
            bytes: 0,
            ids: 0,
            index,
            total,
            history,
            hasher: RandomState::new(),
        }
    }

    /// Numbers the publication, unless the room has it or nobody could ever hear of it.
    ///
    /// All shards may then keep too much together: the caller lets [`drop_oldest`](Self::drop_oldest) follow.
    pub(super) fn append(&mut self, room: &RoomId, publication: &Arc<Publication>) -> Option<Position> {
        self.trim();
        if self.history.count == 0 && !self.rooms.contains_key(room) {
            return None;
        }
        let hash = self.hasher.hash_one(publication.id());
        let log = self.rooms.entry(room.clone()).or_insert_with(Log::new);
        if log.recent.has(hash) {
            return None;
        }
        self.ids += log.recent.push(hash);
        log.offset += 1;
        let position = log.position();
        if self.history.count > 0 {
            let size = size(publication);
            log.kept.push_back(Arc::clone(publication));
            log.bytes += size;
            let mut dropped = 0;
            self.entries += 1;
            while log.kept.len() > self.history.count || log.bytes > self.history.bytes {
                let Some(size) = log.drop_oldest() else { break };
                dropped += size;
                self.entries -= 1;
            }
            let emptied = log.kept.is_empty();
            self.bytes += size;
            self.total.add(size);
            self.shrink(dropped);
            self.oldest.push_back(Kept {
                room: room.clone(),
                epoch: Arc::clone(&position.epoch),
                offset: position.offset,
                at: Instant::now(),
            });
            if emptied {
                // The event alone was more than the room may keep.
                self.mark_idle(room);
            }
            self.compact();
            self.announce();
        }
        self.bound_ids();
        Some(position)
    }

    /// Gives a number to an event that is not there, unless the room has seen its id, or nobody knows the room. What
    /// was kept before it leads nowhere any more.
    pub(super) fn skip(&mut self, room: &RoomId, id: &str) -> Option<Position> {
        self.trim();
        let hash = self.hasher.hash_one(id);
        let log = self.rooms.get_mut(room)?;
        if log.recent.has(hash) {
            return None;
        }
        self.ids += log.recent.push(hash);
        let mut dropped = 0;
        while let Some(size) = log.drop_oldest() {
            dropped += size;
            self.entries -= 1;
        }
        log.offset += 1;
        let position = log.position();
        self.shrink(dropped);
        self.mark_idle(room);
        self.compact();
        self.announce();
        self.bound_ids();
        Some(position)
    }

    pub(super) fn join(&mut self, room: &RoomId) {
        // First, or a room whose time is over would be taken up again.
        self.trim();
        let log = self.rooms.entry(room.clone()).or_insert_with(Log::new);
        log.members += 1;
        log.left = None;
    }

    pub(super) fn leave(&mut self, room: &RoomId) {
        if let Some(log) = self.rooms.get_mut(room) {
            log.members = log.members.saturating_sub(1);
        }
        self.mark_idle(room);
        self.trim();
    }

    pub(super) fn recover(
        &mut self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> Recovery {
        self.trim();
        let keeps = self.history.count > 0;
        // A room nobody joined gets a number for this answer only.
        let fresh;
        let log = match self.rooms.get(room) {
            Some(log) => log,
            None => {
                fresh = Log::new();
                &fresh
            }
        };
        Recovery::new(log.position(), since.map(|since| log.missed(since, keeps, bounds)))
    }

    /// Numbers every room anew; returns the places of those with members. What was there once does not count again.
    pub(super) fn renumber(&mut self) -> Vec<(RoomId, Position)> {
        self.rooms.retain(|_, log| log.members > 0);
        for log in self.rooms.values_mut() {
            let fresh = Log::new();
            let (members, recent) = (log.members, std::mem::take(&mut log.recent));
            *log = Log { members, recent, ..fresh };
        }
        self.ids = self.rooms.values().map(|log| log.recent.len()).sum();
        self.oldest.clear();
        self.idle.clear();
        self.entries = 0;
        self.shrink(self.bytes);
        self.announce();
        self.places()
    }

    /// Where each room with members stands.
    pub(super) fn places(&self) -> Vec<(RoomId, Position)> {
        let joined = self.rooms.iter().filter(|(_, log)| log.members > 0);
        joined.map(|(room, log)| (room.clone(), log.position())).collect()
    }

    /// Drops what is too old.
    pub(super) fn trim(&mut self) {
        let now = Instant::now();
        let age = self.history.age;
        while self.oldest.front().is_some_and(|kept| now.duration_since(kept.at) >= age) {
            self.drop_oldest();
        }
        while let Some((_, at)) = self.idle.front() {
            let aged = now.duration_since(*at) >= age;
            if !aged && self.idle.len() <= IDLE_ROOMS {
                break;
            }
            let Some((room, at)) = self.idle.pop_front() else { break };
            if let Some(log) = self.rooms.get_mut(&room)
                && log.left == Some(at)
            {
                // From here on its history alone keeps it.
                log.left = None;
                self.forget_if_over(&room, now);
            }
        }
    }

    /// Drops the oldest event of this shard, or the mark of one that its room has dropped by itself.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(kept) = self.oldest.pop_front()
            && let Some(log) = self.rooms.get_mut(&kept.room)
            && log.epoch == kept.epoch
            && log.first() == Some(kept.offset)
            && let Some(size) = log.drop_oldest()
        {
            self.entries -= 1;
            self.shrink(size);
            self.forget_if_over(&kept.room, Instant::now());
        }
        self.announce();
    }

    /// From now on a room that nobody is in is kept for its number's sake, for a while. Whatever else kept it may be
    /// gone without a trace in `oldest`, and then nobody else would forget it.
    fn mark_idle(&mut self, room: &RoomId) {
        if let Some(log) = self.rooms.get_mut(room)
            && log.members == 0
        {
            let now = Instant::now();
            log.left = Some(now);
            self.idle.push_back((room.clone(), now));
        }
    }

    fn forget_if_over(&mut self, room: &RoomId, now: Instant) {
        if let Some(log) = self.rooms.get(room)
            && log.is_over(now, self.history.age)
        {
            self.ids -= log.recent.len();
            self.rooms.remove(room);
        }
    }

    fn shrink(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.total.take(bytes);
    }

    fn announce(&self) {
        self.total.announce(self.index, self.oldest.front().map(|kept| kept.at));
    }

    fn bound_ids(&mut self) {
        if self.ids > IDS {
            let halves = self.rooms.values_mut().map(|log| log.recent.halve());
            self.ids -= halves.sum::<usize>();
        }
    }

    /// Forgets entries of `oldest` that their rooms have dropped, once they are the larger half.
    fn compact(&mut self) {
        if self.oldest.len() <= 2 * self.entries + 64 {
            return;
        }
        let rooms = &self.rooms;
        self.oldest.retain(|kept| {
            rooms.get(&kept.room).is_some_and(|log| {
                log.epoch == kept.epoch && log.first().is_some_and(|first| first <= kept.offset)
            })
        });
    }
}

// === impl Log ===

impl Log {
    fn new() -> Self {
        // 64 random bits: no two incarnations of a room, on any node, share an epoch.
        Self {
            epoch: format!("{:x}", rand::random::<u64>()).into(),
            offset: 0,
            kept: VecDeque::new(),
            bytes: 0,
            recent: Recent::default(),
            members: 0,
            left: None,
        }
    }

    fn position(&self) -> Position {
        Position::new(Arc::clone(&self.epoch), self.offset)
    }

    fn first(&self) -> Option<u64> {
        let kept = self.kept.len() as u64;
        (kept > 0).then(|| self.offset + 1 - kept)
    }

    fn drop_oldest(&mut self) -> Option<usize> {
        let size = size(&*self.kept.pop_front()?);
        self.bytes -= size;
        Some(size)
    }

    /// Nobody could come back to it.
    fn is_over(&self, now: Instant, age: Duration) -> bool {
        let remembered = self.left.is_some_and(|left| now.duration_since(left) < age);
        self.members == 0 && self.kept.is_empty() && !remembered
    }

    fn missed(
        &self,
        since: &Position,
        keeps: bool,
        bounds: RecoveryBounds,
    ) -> Result<Vec<Missed>, NotRecovered> {
        if since.epoch != self.epoch || since.offset > self.offset {
            return Err(NotRecovered::Epoch);
        }
        let count = self.offset - since.offset;
        if !keeps || count > self.kept.len() as u64 {
            return Err(NotRecovered::Trimmed);
        }
        if count > bounds.events as u64 {
            return Err(NotRecovered::TooMany);
        }
        let skip = self.kept.len() - usize::try_from(count).unwrap_or(0);
        let lines = self.kept.iter().skip(skip);
        let bytes: usize = lines.clone().map(|publication| publication.event().len()).sum();
        if bytes > bounds.bytes {
            return Err(NotRecovered::TooMany);
        }
        Ok(lines
            .zip(since.offset + 1..)
            .map(|(publication, offset)| Missed::new(offset, Arc::clone(publication)))
            .collect())
    }
}

fn size(publication: &Publication) -> usize {
    publication.event().len() + publication.id().len() + ENTRY_OVERHEAD
}

#[cfg(test)]
impl Logs {
    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    pub(super) fn ids(&self) -> usize {
        self.ids
    }

    /// What the queues of ages hold.
    pub(super) fn marks(&self) -> usize {
        self.oldest.len() + self.idle.len()
    }
}
