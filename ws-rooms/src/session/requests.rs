//! What a request does. One at a time per connection, in order.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Access;
use crate::node::Node;
use crate::protocol::codec;
use crate::protocol::{Close, Id, Position, Request, RoomId, RoomPosition};
use crate::session::join::{join, leave, release, settle};
use crate::session::outbox::Joined;
use crate::session::renewal::Renewed;
use crate::session::{Conn, Membership};

/// When a room of the server's cannot be joined, the client comes back after this long, and up to this much more: a
/// backplane that comes back does not meet everybody at once.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_SPREAD: Duration = Duration::from_secs(4);

/// Members in one answer, by user id: some 64 KiB of them. The answer says when there are more.
const LISTED: usize = 1_000;

/// Joins the rooms that the identity names and says welcome.
pub(super) async fn open(node: Arc<Node>, conn: Arc<Conn>) {
    let identity = conn.identity();
    if let Some(joined) = join_server_rooms(&node, &conn, &identity.rooms, Membership::Server).await {
        release(&node, &conn, joined, |joined| {
            codec::welcome(&node.config, &conn.name, &conn.user, &places(joined), identity.expires_at)
        });
        conn.heart.welcomed();
    }
}

/// Joins the rooms of a new token and says so: the last step of a renewal.
pub(super) async fn renewed(node: Arc<Node>, conn: Arc<Conn>, renewed: Renewed) {
    let Renewed { id, identity } = renewed;
    if let Some(joined) = join_server_rooms(&node, &conn, &identity.rooms, Membership::Server).await {
        release(&node, &conn, joined, |joined| {
            codec::authenticated(&id, identity.expires_at, &places(joined))
        });
    }
}

/// Joins a room that the application gives, and says so.
pub(super) async fn given(node: Arc<Node>, conn: Arc<Conn>, room: RoomId) {
    let rooms = [room];
    let joined = join_server_rooms(&node, &conn, &rooms, Membership::Given).await;
    conn.end_join();
    for joined in joined.into_iter().flatten() {
        release(&node, &conn, vec![joined], |joined| {
            codec::subscribed(&None, &joined[0].room, &joined[0].recovery.position, None)
        });
    }
}

/// Answers one request, any but `auth`.
pub(super) async fn answer(node: Arc<Node>, conn: Arc<Conn>, id: Id, request: Request) {
    match request {
        Request::Ping => conn.push(codec::pong(&id)),
        Request::Subscribe { room, since } => {
            subscribe(&node, &conn, &id, &room, since.as_ref()).await;
        }
        Request::Unsubscribe { room } => unsubscribe(&node, &conn, &id, &room),
        Request::Presence { room } => presence(&node, &conn, &id, &room).await,
        // Has a slot of its own, since it asks about many rooms.
        Request::Auth { .. } => {}
    }
}

async fn subscribe(node: &Arc<Node>, conn: &Arc<Conn>, id: &Id, name: &str, since: Option<&Position>) {
    let Ok(room) = RoomId::parse(name) else {
        return forbidden(conn, id);
    };
    // ORDER: first, or a room that the application has just taken would be asked for as one of the server's.
    settle(node, conn, &room);
    let membership = conn.membership(&room);
    if !membership.is_some_and(Membership::is_servers) {
        if membership.is_none() && conn.room_count() >= node.config.limits.rooms_per_connection {
            let message = "this connection is in as many rooms as it may be";
            return conn.push(codec::error(id, "TOO_MANY_ROOMS", message, false));
        }
        // Asked again at a recovery: what was allowed once may not be any more.
        match may_join(node, conn, &room).await {
            Access::Allowed => {}
            Access::Forbidden => {
                leave(node, conn, &room);
                return forbidden(conn, id);
            }
            Access::Unavailable => return unavailable(conn, id),
        }
    }
    match join(node, conn, &room, Membership::Requested, since).await {
        Ok(Some(joined)) => release(node, conn, vec![joined], |joined| {
            let Joined { room, recovery } = &joined[0];
            let found = recovery.missed.as_ref().map(|missed| match missed {
                Ok(events) => {
                    Ok(events.iter().map(|missed| (missed.offset, missed.publication.event())).collect())
                }
                Err(reason) => Err(*reason),
            });
            codec::subscribed(id, room, &recovery.position, found.as_ref())
        }),
        Ok(None) | Err(_) => unavailable(conn, id),
    }
}

fn unsubscribe(node: &Arc<Node>, conn: &Arc<Conn>, id: &Id, name: &str) {
    let Ok(room) = RoomId::parse(name) else {
        return forbidden(conn, id);
    };
    if conn.membership(&room).is_some_and(Membership::is_servers) {
        return forbidden(conn, id);
    }
    leave(node, conn, &room);
    conn.push(codec::unsubscribed(id, room.as_str(), None));
}

async fn presence(node: &Arc<Node>, conn: &Arc<Conn>, id: &Id, name: &str) {
    let room = RoomId::parse(name).ok().filter(|room| {
        // Only members may ask, and only where it is on.
        conn.membership(room).is_some() && node.config.rule(room).presence
    });
    let Some(room) = room else { return forbidden(conn, id) };
    match node.lane(&room).present(&room).await {
        Ok(mut members) => {
            let total = members.len();
            members.truncate(LISTED);
            conn.push(codec::presence(id, &room, &members, (total > LISTED).then_some(total)));
        }
        Err(_) => unavailable(conn, id),
    }
}

/// Asks about a room, again if the token was renewed meanwhile: the answer for an old role is none for the new one.
async fn may_join(node: &Node, conn: &Conn, room: &RoomId) -> Access {
    loop {
        let identity = conn.identity();
        let access = node.may_join(&identity, room).await;
        if Arc::ptr_eq(&identity, &conn.identity()) {
            return access;
        }
    }
}

/// Joins what the server gives. Nobody could ask for these rooms again, and to be in them unheard would be silent
/// loss: when one cannot be joined the connection ends, and the client comes back a little later.
async fn join_server_rooms(
    node: &Arc<Node>,
    conn: &Arc<Conn>,
    rooms: &[RoomId],
    by: Membership,
) -> Option<Vec<Joined>> {
    let identity = conn.identity();
    let bound = node.config.limits.rooms_per_connection;
    if rooms.len() > bound {
        tracing::warn!(
            rooms = rooms.len(),
            bound,
            "the identity names more rooms than a connection may be in"
        );
    }
    let mut joined = Vec::with_capacity(rooms.len().min(bound));
    for room in rooms.iter().take(bound) {
        if node.directory.known.in_room(&identity, room) == Access::Forbidden {
            tracing::debug!(%room, "not joined: the right to it was revoked");
            continue;
        }
        settle(node, conn, room);
        match join(node, conn, room, by, None).await {
            Ok(place) => joined.extend(place),
            Err(error) => {
                tracing::warn!(%room, error = &error as &dyn std::error::Error, "room not joined");
                let delay = AGAIN + AGAIN_SPREAD.mul_f64(rand::random::<f64>());
                conn.close(Close::POSITION_LOST.with_retry_after(delay));
                return None;
            }
        }
    }
    // What was taken away while others were joined is not said to be there.
    joined.retain(|joined| conn.membership(&joined.room).is_some());
    Some(joined)
}

fn places(joined: &[Joined]) -> Vec<RoomPosition> {
    joined
        .iter()
        .map(|Joined { room, recovery }| RoomPosition {
            room: room.clone(),
            epoch: recovery.position.epoch.to_string(),
            offset: recovery.position.offset,
        })
        .collect()
}

fn forbidden(conn: &Conn, id: &Id) {
    // One sentence for «absent», «not yours» and «no such name»: it must not tell which.
    conn.push(codec::error(id, "FORBIDDEN", "this room is not open to you", false));
}

fn unavailable(conn: &Conn, id: &Id) {
    conn.push(codec::error(id, "UNAVAILABLE", "the room cannot be joined just now", true));
}
