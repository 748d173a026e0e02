//! Which connections are in which rooms of this node.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::codec;
use crate::protocol::{Member, RoomId};
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
    /// Connections per user, where presence is on; only those that are shown.
    users: HashMap<Arc<str>, u32>,
}

struct Seat {
    conn: Arc<Conn>,
    /// Counts as present.
    shown: bool,
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
        members.conns.entry(conn.id).or_insert_with(|| Seat { conn: Arc::clone(conn), shown: false });
    }

    /// Counts a member as present, once its join is whole; the others hear of a user's first connection.
    pub(crate) fn show(&self, room: &RoomId, conn: &Arc<Conn>) {
        let mut shard = self.shard(room);
        let Some(members) = shard.get_mut(room) else { return };
        match members.conns.get_mut(&conn.id) {
            Some(seat) if !seat.shown => seat.shown = true,
            _ => return,
        }
        let connections = members.users.entry(Arc::clone(&conn.user)).or_insert(0);
        *connections += 1;
        if *connections == 1 {
            members.tell("joined", room, conn);
        }
    }

    /// Removes a member; the others hear of a user's last connection where it was shown.
    pub(crate) fn remove(&self, room: &RoomId, conn: &Arc<Conn>) {
        let mut shard = self.shard(room);
        let Some(members) = shard.get_mut(room) else { return };
        let Some(seat) = members.conns.remove(&conn.id) else { return };
        if members.conns.is_empty() {
            shard.remove(room);
            self.rooms.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if seat.shown
            && let Some(connections) = members.users.get_mut(&conn.user)
        {
            *connections -= 1;
            if *connections == 0 {
                members.users.remove(&conn.user);
                members.tell("left", room, conn);
            }
        }
    }

    /// Does something with each member, in no order.
    pub(crate) fn each(&self, room: &RoomId, mut act: impl FnMut(&Arc<Conn>)) {
        if let Some(members) = self.shard(room).get(room) {
            members.conns.values().for_each(|seat| act(&seat.conn));
        }
    }

    /// Who is in a room, by user id; empty where presence is off.
    pub(crate) fn members(&self, room: &RoomId) -> Vec<Member> {
        let shard = self.shard(room);
        let users = shard.get(room).map(|members| &members.users);
        let mut list: Vec<Member> = users
            .into_iter()
            .flatten()
            .map(|(user, connections)| Member { user_id: user.to_string(), connections: *connections })
            .collect();
        drop(shard);
        list.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
        list
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

// === impl Members ===

impl Members {
    /// Tells all but the one it is about, who knows.
    fn tell(&self, kind: &'static str, room: &RoomId, about: &Conn) {
        let text = codec::user_moved(kind, room, &about.user);
        for seat in self.conns.values().filter(|seat| seat.conn.id != about.id) {
            seat.conn.notice(&text);
        }
    }
}
