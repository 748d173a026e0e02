//! Into rooms and out of them, in the one order that leaves no hole.

use std::sync::Arc;

use crate::auth::Access;
use crate::backplane::RecoveryBounds;
use crate::error::Error;
use crate::node::Node;
use crate::protocol::codec::{self, Text};
use crate::protocol::{Position, RoomId};
use crate::session::outbox::Joined;
use crate::session::places::Sat;
use crate::session::{Conn, Membership};

/// Puts the connection into a room, or recovers in one where it is, and reads the history.
///
/// ORDER: hold → member → backplane → history → presence. Frames that come meanwhile wait in the hold; the
/// caller releases it with the answer. On an error nothing is left behind, and nobody has heard of it. `None`: the
/// room was taken away meanwhile.
///
/// # Cancel safety
///
/// When dropped, the connection may be in the room with its frames held: only the end of the
/// connection drops it, and that leaves all rooms, those too that the backplane has not counted yet.
pub(super) async fn join(
    node: &Arc<Node>,
    conn: &Arc<Conn>,
    room: &RoomId,
    membership: Membership,
    since: Option<&Position>,
) -> Result<Option<Joined>, Error> {
    let lane = node.lane(room);
    conn.outbox(|outbox| outbox.hold(room, node.config.rule(room).slow));
    let sat = conn.sit_down(node, room, membership);
    let new = matches!(sat, Sat::New(_));
    match sat {
        Sat::New(count) => {
            let made = count.make(node, room).await;
            if conn.membership(room).is_none() {
                return Ok(None);
            }
            if let Err(error) = made {
                // The backplane did not count us, so it is not told that we leave.
                leave(node, conn, room);
                return Err(error);
            }
            // ORDER: a member first. A revocation is known before it looks for members, so one of the two sees the other.
            if node.directory.known.in_room(&conn.identity(), room) != Access::Allowed {
                leave(node, conn, room);
                return Ok(None);
            }
        }
        Sat::There => {}
        Sat::TakenBack => {
            let_go(node, conn, room);
            return Ok(None);
        }
    }
    let limits = &node.config.limits;
    let bounds = RecoveryBounds::new(limits.recovery_events, limits.recovery_bytes);
    let recovered = lane.recover(room, since, bounds).await;
    // ORDER: behind the reading, which may have what was published after a leave's return; whoever orders one from here on
    // publishes behind the reading.
    settle(node, conn, room);
    match recovered {
        // It was taken away meanwhile, and the client was told.
        _ if conn.membership(room).is_none() => Ok(None),
        Ok(recovery) => {
            // One step of the connection's task, as a leave is: neither comes between the two.
            if node.config.rule(room).presence && node.registry.show(room, conn) {
                lane.enter(room, &conn.user);
            }
            Ok(Some(Joined { room: room.clone(), recovery }))
        }
        Err(error) if new => {
            leave(node, conn, room);
            Err(error)
        }
        Err(error) => {
            // A member it was, and stays. What the hold has swallowed cannot be vouched for.
            let_go(node, conn, room);
            Err(error)
        }
    }
}

/// Releases the hold of a room about which there is no answer.
fn let_go(node: &Node, conn: &Conn, room: &RoomId) {
    let dropped = conn.outbox(|outbox| outbox.release_blind(room));
    node.metrics.drop_frames(dropped);
}

/// Takes the connection out of a room; does nothing when it is not there.
pub(super) fn leave(node: &Arc<Node>, conn: &Arc<Conn>, room: &RoomId) {
    let seat = conn.stand_up(room);
    if seat.is_some() && node.registry.remove(room, conn) {
        node.lane(room).exit(room, &conn.user, node.linger());
    }
    conn.outbox(|outbox| outbox.forget(room));
    if let Some(seat) = seat {
        seat.count.leave(node, room);
    }
}

/// Takes the connection out of a room that it has no more right to, and tells it so.
pub(super) fn expel(node: &Arc<Node>, conn: &Arc<Conn>, room: &RoomId) {
    leave(node, conn, room);
    // Before the welcome there is nothing to take back: it will not name the room.
    if conn.heart.is_welcomed() {
        conn.push(codec::unsubscribed(&None, room.as_str(), Some("forbidden")));
    }
}

/// Leaves a room that is to be left, before anything else is done there.
pub(super) fn settle(node: &Arc<Node>, conn: &Arc<Conn>, room: &RoomId) {
    if conn.is_to_leave(room) {
        expel(node, conn, room);
    }
}

/// Takes the connection out of all rooms, at its end.
pub(crate) fn leave_all(node: &Arc<Node>, conn: &Arc<Conn>) {
    for (room, _) in conn.rooms() {
        leave(node, conn, &room);
    }
}

/// Releases the holds of rooms with their answer.
pub(super) fn release(
    node: &Arc<Node>,
    conn: &Arc<Conn>,
    joined: Vec<Joined>,
    answer: impl FnOnce(&[Joined]) -> Text,
) {
    let dropped = conn.outbox(|outbox| outbox.release(joined, answer));
    node.metrics.drop_frames(dropped);
}
