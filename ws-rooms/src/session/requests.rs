//! What a request does. One at a time per connection, in order.

use std::sync::Arc;

use crate::auth::{Access, Credential, Identity};
use crate::protocol::codec;

use crate::node::Node;
use crate::protocol::{Id, Position, Request, RoomId, RoomPosition};
use crate::session::join::{join, leave, release};
use crate::session::outbox::Joined;
use crate::session::{Conn, Membership};

/// Joins the rooms that the identity names and says welcome.
pub(super) async fn open(node: Arc<Node>, conn: Arc<Conn>) {
    let identity = conn.identity();
    let joined = join_server_rooms(&node, &conn, &identity.rooms).await;
    release(&node, &conn, joined, |joined| {
        codec::welcome(&node.config, &conn.name, &conn.user, &places(joined), identity.expires_at)
    });
}

/// Answers one request.
pub(super) async fn answer(node: Arc<Node>, conn: Arc<Conn>, id: Id, request: Request) {
    match request {
        Request::Ping => conn.push(codec::pong(&id)),
        Request::Subscribe { room, since } => {
            subscribe(&node, &conn, &id, &room, since.as_ref()).await;
        }
        Request::Unsubscribe { room } => unsubscribe(&node, &conn, &id, &room),
        Request::Presence { room } => presence(&node, &conn, &id, &room),
        Request::Auth { token } => renew(&node, &conn, &id, token).await,
    }
}

async fn subscribe(node: &Arc<Node>, conn: &Arc<Conn>, id: &Id, name: &str, since: Option<&Position>) {
    let Ok(room) = RoomId::parse(name) else {
        return forbidden(conn, id);
    };
    let membership = conn.rooms().get(&room).copied();
    if membership != Some(Membership::Server) {
        if membership.is_none() && conn.rooms().len() >= node.config.limits.rooms_per_connection {
            let message = "this connection is in as many rooms as it may be";
            return conn.push(codec::error(id, "TOO_MANY_ROOMS", message, false));
        }
        // Asked again at a recovery: what was allowed once may not be any more.
        match node.may_join(&conn.identity(), &room).await {
            Access::Allowed => {}
            Access::Forbidden => {
                leave(node, conn, &room);
                return forbidden(conn, id);
            }
            Access::Unavailable => return unavailable(conn, id),
        }
    }
    match join(node, conn, &room, Membership::Requested, since).await {
        Ok(joined) => release(node, conn, vec![joined], |joined| {
            let Joined { room, recovery } = &joined[0];
            let found = recovery.missed.as_ref().map(|missed| match missed {
                Ok(events) => {
                    Ok(events.iter().map(|missed| (missed.offset, missed.publication.event())).collect())
                }
                Err(reason) => Err(*reason),
            });
            codec::subscribed(id, room, &recovery.position, found.as_ref())
        }),
        Err(_) => unavailable(conn, id),
    }
}

fn unsubscribe(node: &Arc<Node>, conn: &Arc<Conn>, id: &Id, name: &str) {
    let Ok(room) = RoomId::parse(name) else {
        return forbidden(conn, id);
    };
    let membership = conn.rooms().get(&room).copied();
    if membership == Some(Membership::Server) {
        return forbidden(conn, id);
    }
    leave(node, conn, &room);
    conn.push(codec::unsubscribed(id, room.as_str(), None));
}

fn presence(node: &Arc<Node>, conn: &Arc<Conn>, id: &Id, name: &str) {
    let room = RoomId::parse(name).ok().filter(|room| {
        // Only members may ask, and only where it is on.
        conn.rooms().contains_key(room) && node.config.rule(room).presence
    });
    match room {
        Some(room) => conn.push(codec::presence(id, &room, &node.registry.members(&room))),
        None => forbidden(conn, id),
    }
}

/// Takes a new token of the same user: its end, its session, and its rooms.
async fn renew(node: &Arc<Node>, conn: &Arc<Conn>, id: &Id, token: String) {
    let credential = Credential::Bearer(token);
    let started = tokio::time::Instant::now();
    let identity = match node.authenticate(credential, &conn.peer).await {
        Ok(identity) => Arc::new(identity),
        Err(refusal) => {
            let retry = refusal.is_retryable();
            return conn.push(codec::error(id, refusal.code, &refusal.detail, retry));
        }
    };
    if identity.user_id != *conn.user {
        let message = "the token belongs to another user";
        return conn.push(codec::error(id, "FORBIDDEN", message, false));
    }
    if let Some(close) = node.directory.renew(conn, &identity, started) {
        return conn.close(close);
    }
    conn.heart.renew(identity.expires_at);
    conn.set_identity(Arc::clone(&identity));
    shrink(node, conn, &identity).await;
    let joined = join_server_rooms(node, conn, &identity.rooms).await;
    release(node, conn, joined, |joined| codec::authenticated(id, identity.expires_at, &places(joined)));
}

/// Leaves the rooms that the new identity no longer has: a shrunk role first of all.
async fn shrink(node: &Arc<Node>, conn: &Arc<Conn>, identity: &Identity) {
    let rooms: Vec<_> = conn.rooms().iter().map(|(room, by)| (room.clone(), *by)).collect();
    let mut requested = Vec::new();
    for (room, by) in rooms {
        match by {
            Membership::Server if identity.rooms.contains(&room) => {}
            // ORDER: these go before anything is awaited.
            Membership::Server => drop_room(node, conn, &room),
            Membership::Requested => requested.push(room),
        }
    }
    for room in requested {
        if node.may_join(identity, &room).await == Access::Forbidden {
            drop_room(node, conn, &room);
        }
    }
}

fn drop_room(node: &Arc<Node>, conn: &Arc<Conn>, room: &RoomId) {
    leave(node, conn, room);
    conn.push(codec::unsubscribed(&None, room.as_str(), Some("forbidden")));
}

async fn join_server_rooms(node: &Arc<Node>, conn: &Arc<Conn>, rooms: &[RoomId]) -> Vec<Joined> {
    let mut joined = Vec::with_capacity(rooms.len());
    for room in rooms.iter().take(node.config.limits.rooms_per_connection) {
        match join(node, conn, room, Membership::Server, None).await {
            Ok(place) => joined.push(place),
            // The welcome will not name it, and the client can subscribe to it.
            Err(error) => tracing::warn!(%room, error = &error as &dyn std::error::Error, "room not joined"),
        }
    }
    joined
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
