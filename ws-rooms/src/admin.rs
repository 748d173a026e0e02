//! What is known of connections and rooms, and what others than their clients do with them.
//!
//! All of it is about this node, and none of it waits for anybody.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::auth::Access;
use crate::protocol::{Close, RoomId};
use crate::rooms::Rooms;
use crate::session::{Conn, ConnId};

/// Entries in one page.
const PAGE: usize = 1_000;

/// Some connections of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// One, by the id that its welcome says.
    Connection(String),
    /// All of a session.
    Session(String),
    /// All of a user.
    User(String),
}

/// A connection at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its id, as the welcome says. Ids are in the order in which connections came.
    pub id: String,
    /// The user.
    pub user_id: String,
    /// The session of its token.
    pub session_id: String,
    /// The user's role.
    pub role: String,
    /// Where it comes from.
    pub addr: IpAddr,
    /// The rooms that it is in, by name.
    pub rooms: Vec<RoomId>,
    /// Bytes that wait for its socket.
    pub queued_bytes: usize,
    /// How long it has been there.
    pub age: Duration,
    /// How long nothing has come from it.
    pub silence: Duration,
    /// When its token ends.
    pub expires_at: Timestamp,
}

/// A room at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// Its name.
    pub room: RoomId,
    /// Its members on this node: connections, not users.
    pub members: usize,
}

impl Rooms {
    /// Connections of this node in the order in which they came: the first after that id, so many and 1,000 at most.
    /// A page without entries is the end; who comes or goes meanwhile is in or not.
    #[must_use]
    pub fn connections(&self, after: Option<&str>, limit: usize) -> Vec<ConnectionInfo> {
        let after = match after.map(ConnId::parse) {
            None => None,
            Some(Some(id)) => Some(id),
            // Nothing comes after what is no id.
            Some(None) => return Vec::new(),
        };
        let conns = self.node.directory.page(after, limit.min(PAGE));
        conns.iter().map(|conn| ConnectionInfo::of(conn)).collect()
    }

    /// A connection of this node.
    #[must_use]
    pub fn connection(&self, id: &str) -> Option<ConnectionInfo> {
        let conns = self.node.directory.find(&Target::Connection(id.to_owned()));
        conns.first().map(|conn| ConnectionInfo::of(conn))
    }

    /// The connections of a target on this node, in no order.
    #[must_use]
    pub fn connections_of(&self, target: &Target) -> Vec<ConnectionInfo> {
        self.node.directory.find(target).iter().map(|conn| ConnectionInfo::of(conn)).collect()
    }

    /// Rooms of this node that have members, by name: the first after that one, so many and 1,000 at most. Looks
    /// through all rooms for each page.
    #[must_use]
    pub fn list_rooms(&self, after: Option<&RoomId>, limit: usize) -> Vec<RoomInfo> {
        let page = self.node.registry.page(after, limit.min(PAGE));
        page.into_iter().map(|(room, members)| RoomInfo { room, members }).collect()
    }

    /// Ends connections of this node, those too of a session or a user that are just being let in; says how many. They
    /// may come back: to end a right there is [`revoke`](Self::revoke).
    #[allow(clippy::must_use_candidate, reason = "the effect is the point, the number is news")]
    pub fn close(&self, target: &Target, close: &Close) -> usize {
        self.node.directory.close(target, close)
    }

    /// Puts connections of this node into a room, without asking the authority; says how many.
    ///
    /// Each does so by itself, and tells its client (`subscribed` without an `id`); on return it has not yet. It stays in
    /// the room for as long as it lives, whatever token follows, until [`leave`](Self::leave) or a revocation; the
    /// client cannot leave it. One that comes later is not in it: what a user always has belongs into
    /// [`Identity::rooms`](crate::Identity::rooms). Where the backplane does not take the join, the connection ends
    /// (4202) and comes back without the room.
    ///
    /// Not among the number, and counted by `ws.joins.refused`: connections that are in as many rooms as they may be, and
    /// those that have lost their right to this one.
    #[allow(clippy::must_use_candidate, reason = "the effect is the point, the number is news")]
    pub fn join(&self, target: &Target, room: &RoomId) -> usize {
        let node = &self.node;
        let bound = node.config.limits.rooms_per_connection;
        let joins = |conn: &Conn| {
            let may = node.directory.known.in_room(&conn.identity(), room) == Access::Allowed
                && conn.order_join(room, bound);
            if !may {
                metrics::counter!("ws.joins.refused").increment(1);
                tracing::warn!(connection = conn.name, %room, "not joined: too many rooms, or no right to it");
            }
            may
        };
        node.directory.find(target).iter().filter(|conn| joins(conn)).count()
    }

    /// Takes connections of this node out of a room, whoever put them in; says how many were there or on their way.
    ///
    /// They get nothing more of the room that is published after the return, and their clients are told (`unsubscribed`,
    /// `forbidden`). A client may ask for the room again, and then the authority decides; one that its token names is
    /// back with the next token. Until a token's end there is [`revoke`](Self::revoke).
    #[allow(clippy::must_use_candidate, reason = "the effect is the point, the number is news")]
    pub fn leave(&self, target: &Target, room: &RoomId) -> usize {
        let node = &self.node;
        node.directory.find(target).iter().filter(|conn| conn.order_leave(node, room)).count()
    }
}

// === impl ConnectionInfo ===

impl ConnectionInfo {
    fn of(conn: &Conn) -> Self {
        let identity = conn.identity();
        let mut rooms: Vec<RoomId> = conn.rooms().into_iter().map(|(room, _)| room).collect();
        rooms.sort_unstable();
        Self {
            id: conn.name.clone(),
            user_id: conn.user.as_ref().to_owned(),
            session_id: identity.session_id.clone(),
            role: identity.role.clone(),
            addr: conn.peer.addr,
            rooms,
            queued_bytes: conn.outbox(|outbox| outbox.bytes()),
            age: conn.heart.age(),
            silence: conn.heart.silence(),
            expires_at: identity.expires_at,
        }
    }
}
