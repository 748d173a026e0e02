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
    leaves: Vec<RoomId>,
    /// A join that the task has taken up, and may not have begun.
    joining: Option<RoomId>,
}

/// A connection's place in a room.
pub(super) struct Seat {
    by: Membership,
    /// The backplane's count of this member, which may be on its way.
    pub(super) count: Arc<Count>,
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
        self.wake.notify_one();
        true
    }

    /// Has the task leave a room; says whether the connection was there, or on its way. Nothing that is published from
    /// the return on comes from the room any more.
    pub(crate) fn order_leave(&self, node: &Node, room: &RoomId) -> bool {
        let mut places = lock(&self.places);
        let was_to_join = places.is_to_join(room);
        places.joins.retain(|other| other != room);
        if !places.seats.contains_key(room) && places.joining.as_ref() != Some(room) {
            return was_to_join;
        }
        if !places.leaves.contains(room) {
            places.leaves.push(room.clone());
        }
        // ORDER: before the task can take the leave up, or a seat that it takes later in the room would be the mute one.
        node.registry.mute(room, self);
        drop(places);
        self.wake.notify_one();
        true
    }

    /// The rooms to leave now.
    pub(super) fn take_leaves(&self) -> Vec<RoomId> {
        let mut places = lock(&self.places);
        if places.leaves.is_empty() {
            return Vec::new();
        }
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut places.leaves).into_iter().partition(|room| places.seats.contains_key(room));
        // A join that has not begun is followed by its leave, not overtaken.
        let joining = places.joining.clone();
        places.leaves = later.into_iter().filter(|room| joining.as_ref() == Some(room)).collect();
        now
    }

    /// The next room to join; [`end_join`](Self::end_join) is to follow.
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

    /// Takes a place in a room; gives the count that is to be made when it had none.
    pub(super) fn sit_down(&self, room: &RoomId, by: Membership) -> Option<Arc<Count>> {
        let mut places = lock(&self.places);
        if let Some(seat) = places.seats.get_mut(room) {
            // A room that the server gives stays the server's.
            if seat.by == Membership::Requested {
                seat.by = by;
            }
            return None;
        }
        let count = Arc::<Count>::default();
        places.seats.insert(room.clone(), Seat { by, count: Arc::clone(&count) });
        Some(count)
    }

    /// Gives the place in a room up.
    pub(super) fn stand_up(&self, room: &RoomId) -> Option<Seat> {
        lock(&self.places).seats.remove(room)
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
