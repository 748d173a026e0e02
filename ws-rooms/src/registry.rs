//! Which connections are in which rooms of this node.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::RoomId;
use crate::protocol::codec;
use crate::session::{Conn, ConnId};

/// Joins and fan-outs of different rooms rarely meet with this many locks.
const SHARDS: usize = 64;

/// Rooms and their members, in shards.
///
/// A fan-out runs under its shard's lock: it only pushes into bounded queues, and a join in
/// another room of the shard waits for that at most.
pub(crate) struct Registry {
    shards: Box<[Mutex<HashMap<RoomId, Members>>]>,
    hasher: RandomState,
    rooms: AtomicUsize,
}

#[derive(Default)]
struct Members {
    conns: HashMap<ConnId, Seat>,
}

struct Seat {
    conn: Arc<Conn>,
    /// Counts as present.
    shown: bool,
    /// Is to leave: nothing of the room comes any more.
    muted: bool,
}

// === impl Registry ===

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rooms: AtomicUsize::new(0),
        }
    }

    /// Adds a member. Frames reach it from here on, but nobody hears of it before [`show`](Self::show).
    pub(crate) fn add(&self, room: &RoomId, conn: &Arc<Conn>) {
        let mut shard = self.shard(room);
        let members = shard.entry(room.clone()).or_insert_with(|| {
            self.rooms.fetch_add(1, Ordering::Relaxed);
            Members::default()
        });
        let seat = || Seat { conn: Arc::clone(conn), shown: false, muted: false };
        members.conns.entry(conn.id).or_insert_with(seat);
    }

    /// Marks a member as shown to the others; says whether it was not, and is in the room.
    pub(crate) fn show(&self, room: &RoomId, conn: &Conn) -> bool {
        let mut shard = self.shard(room);
        let seat = shard.get_mut(room).and_then(|members| members.conns.get_mut(&conn.id));
        seat.is_some_and(|seat| !std::mem::replace(&mut seat.shown, true))
    }

    /// Nothing of the room reaches this member any more.
    pub(crate) fn mute(&self, room: &RoomId, conn: &Conn) {
        let mut shard = self.shard(room);
        if let Some(seat) = shard.get_mut(room).and_then(|members| members.conns.get_mut(&conn.id)) {
            seat.muted = true;
        }
    }

    /// Removes a member; says whether it was shown to the others.
    pub(crate) fn remove(&self, room: &RoomId, conn: &Conn) -> bool {
        let mut shard = self.shard(room);
        let Some(members) = shard.get_mut(room) else { return false };
        let Some(seat) = members.conns.remove(&conn.id) else { return false };
        if members.conns.is_empty() {
            shard.remove(room);
            self.rooms.fetch_sub(1, Ordering::Relaxed);
        }
        seat.shown
    }

    /// Tells of a user to all members but the user's own connections, who know.
    pub(crate) fn tell(&self, kind: &'static str, room: &RoomId, user: &str) {
        let text = codec::user_moved(kind, room, user);
        self.each(room, |conn| {
            if *conn.user != *user {
                conn.notice(&text);
            }
        });
    }

    /// Does something with each member, in no order.
    pub(crate) fn each(&self, room: &RoomId, mut act: impl FnMut(&Arc<Conn>)) {
        if let Some(members) = self.shard(room).get(room) {
            members.conns.values().filter(|seat| !seat.muted).for_each(|seat| act(&seat.conn));
        }
    }

    /// The first rooms after this one by name, with how many members each has. No shard is locked for longer than it
    /// takes to look at its names.
    pub(crate) fn page(&self, after: Option<&RoomId>, limit: usize) -> BTreeMap<RoomId, usize> {
        let mut page = BTreeMap::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let later = shard.iter().filter(|(room, _)| after.is_none_or(|after| *room > after));
            for (room, members) in later {
                if page.len() < limit || page.last_key_value().is_some_and(|(last, _)| room < last) {
                    page.insert(room.clone(), members.conns.len());
                    if page.len() > limit {
                        page.pop_last();
                    }
                }
            }
        }
        page
    }

    /// How many rooms have members.
    pub(crate) fn rooms(&self) -> usize {
        self.rooms.load(Ordering::Relaxed)
    }

    fn shard(&self, room: &RoomId) -> MutexGuard<'_, HashMap<RoomId, Members>> {
        // The remainder is below the number of shards.
        let index = self.hasher.hash_one(room) % self.shards.len() as u64;
        self.shards[usize::try_from(index).unwrap_or(0)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
