//! Where a connection is, and where others want it. Its own task carries that out, and nobody waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::node::Node;
use crate::protocol::RoomId;
use crate::session::count::Count;
use crate::session::{Conn, Membership, lock};

/// The rooms of a connection. No more joins wait than it may be in rooms, and no leaves but of rooms that it is in.
#[derive(Default)]
pub(super) struct Places {
    seats: HashMap<RoomId, Seat>,
    joins: Vec<RoomId>,
    /// Each is about the seat that is there, and goes with it: a later one in the same room is not meant.
    leaves: Vec<RoomId>,
    /// A join that the task has taken up and not begun: a leave takes it back.
    joining: Option<RoomId>,
}

/// A connection's place in a room.
pub(super) struct Seat {
    /// Who has the most to say of those who put it there.
    by: Membership,
    /// The backplane's count of this member, which may be on its way.
    pub(super) count: Arc<Count>,
}

/// What became of an attempt to sit down.
pub(super) enum Sat {
    /// The place is new, and is to be counted.
    New(Arc<Count>),
    /// It was there already.
    There,
    /// The room that was to be given has been taken back.
    TakenBack,
}

impl Conn {
    /// Who put the connection into a room, if it is there.
    pub(crate) fn membership(&self, room: &RoomId) -> Option<Membership> {
        lock(&self.places).seats.get(room).map(|seat| seat.by)
    }

    /// The rooms, in no order.
    pub(crate) fn rooms(&self) -> Vec<(RoomId, Membership)> {
        lock(&self.places).seats.iter().map(|(room, seat)| (room.clone(), seat.by)).collect()
    }

    /// In how many rooms it is, those included that it is to join.
    pub(crate) fn room_count(&self) -> usize {
        lock(&self.places).count()
    }

    /// Has the task join a room; says whether there is a place for it.
    pub(crate) fn order_join(&self, room: &RoomId, bound: usize) -> bool {
        let mut places = lock(&self.places);
        if !places.seats.contains_key(room) && !places.is_to_join(room) && places.count() >= bound {
            return false;
        }
        if !places.joins.contains(room) {
            places.joins.push(room.clone());
        }
        drop(places);
        self.ring();
        true
    }

    /// Has the task leave a room; says whether the connection was there, or on its way. Nothing that is published from
    /// the return on comes from the room any more.
    pub(crate) fn order_leave(&self, node: &Node, room: &RoomId) -> bool {
        let mut places = lock(&self.places);
        let was_to_join = places.is_to_join(room);
        places.joins.retain(|other| other != room);
        places.joining.take_if(|joining| joining == room);
        if !places.seats.contains_key(room) {
            return was_to_join;
        }
        if !places.leaves.contains(room) {
            places.leaves.push(room.clone());
        }
        // ORDER: while the seat cannot go, or a later one in the room would be the mute one.
        node.registry.mute(room, self);
        drop(places);
        self.ring();
        true
    }

    /// Whether there are rooms to join or to leave, now or later.
    pub(super) fn has_orders(&self) -> bool {
        let places = lock(&self.places);
        !(places.joins.is_empty() && places.leaves.is_empty())
    }

    /// The rooms to leave now.
    pub(super) fn take_leaves(&self) -> Vec<RoomId> {
        std::mem::take(&mut lock(&self.places).leaves)
    }

    /// Whether a room is to be left.
    pub(super) fn is_to_leave(&self, room: &RoomId) -> bool {
        lock(&self.places).leaves.contains(room)
    }

    /// The next room to join. Until the connection [sits down](Self::sit_down) there it can be taken back;
    /// [`end_join`](Self::end_join) is to follow in any case.
    pub(super) fn take_join(&self) -> Option<RoomId> {
        let mut places = lock(&self.places);
        if places.joins.is_empty() {
            return None;
        }
        let room = places.joins.remove(0);
        places.joining = Some(room.clone());
        Some(room)
    }

    pub(super) fn end_join(&self) {
        lock(&self.places).joining = None;
    }

    /// Takes a place in a room, and becomes a member: frames reach it from here on.
    pub(super) fn sit_down(self: &Arc<Self>, node: &Node, room: &RoomId, by: Membership) -> Sat {
        let mut places = lock(&self.places);
        if by == Membership::Given && places.joining.take_if(|joining| joining == room).is_none() {
            return Sat::TakenBack;
        }
        if let Some(seat) = places.seats.get_mut(room) {
            seat.by = seat.by.max(by);
            return Sat::There;
        }
        let count = Arc::<Count>::default();
        places.seats.insert(room.clone(), Seat { by, count: Arc::clone(&count) });
        // ORDER: one step, or a leave between the two would find a seat and no member to mute.
        node.registry.add(room, self);
        Sat::New(count)
    }

    /// Gives the place in a room up.
    pub(super) fn stand_up(&self, room: &RoomId) -> Option<Seat> {
        let mut places = lock(&self.places);
        places.leaves.retain(|other| other != room);
        places.seats.remove(room)
    }
}

// === impl Places ===

impl Places {
    fn is_to_join(&self, room: &RoomId) -> bool {
        self.joins.contains(room) || self.joining.as_ref() == Some(room)
    }

    fn count(&self) -> usize {
        let to_join = self.joins.iter().chain(&self.joining);
        self.seats.len() + to_join.filter(|room| !self.seats.contains_key(*room)).count()
    }
}

#[cfg(test)]
mod tests;
