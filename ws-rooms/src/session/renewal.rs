//! A new token on a connection that stays.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::auth::{Access, Credential, Identity};
use crate::node::Node;
use crate::protocol::{Id, codec};
use crate::session::join::expel;
use crate::session::{Conn, Membership};

/// Questions about rooms at a time. A hundred rooms in the time of thirteen, and no storm on whoever is asked.
const QUESTIONS: usize = 8;

/// A renewal whose rooms of old are settled; those that the new token brings are still to be joined.
pub(super) struct Renewed {
    pub(super) id: Id,
    pub(super) identity: Arc<Identity>,
}

/// Takes a new token of the same user: its end, its session, and what it may no longer be in.
///
/// Other requests are answered meanwhile, so everything here holds beside them: what a renewal takes away is gone
/// from the connection's rooms, where a join looks before it says that it has joined.
pub(super) async fn renew(node: Arc<Node>, conn: Arc<Conn>, id: Id, token: String) -> Option<Renewed> {
    let credential = Credential::Bearer(token);
    let started = Instant::now();
    let identity = match node.authenticate(credential, &conn.peer).await {
        Ok(identity) => Arc::new(identity),
        Err(refusal) => {
            let retry = refusal.is_retryable();
            conn.push(codec::error(&id, refusal.code, &refusal.detail, retry));
            return None;
        }
    };
    if identity.user_id != *conn.user {
        let message = "the token belongs to another user";
        conn.push(codec::error(&id, "FORBIDDEN", message, false));
        return None;
    }
    let before = conn.identity();
    if let Some(close) = node.directory.renew(&conn, &identity, started) {
        conn.close(close);
        return None;
    }
    conn.heart.renew(identity.expires_at);
    shrink(&node, &conn, &identity, before.role != identity.role).await;
    Some(Renewed { id, identity })
}

/// Leaves the rooms that the new identity no longer has: a shrunk role first of all.
///
/// An authority that does not say within its time leaves a user of the same role where they are. To another role it
/// has never given anything, so rooms that it is silent about are left.
async fn shrink(node: &Arc<Node>, conn: &Arc<Conn>, identity: &Identity, another_role: bool) {
    let mut requested = Vec::new();
    for (room, by) in conn.rooms() {
        if node.directory.known.in_room(identity, &room) == Access::Forbidden {
            // Another session may have lost what this one had, whoever gave it.
            expel(node, conn, &room);
            continue;
        }
        match by {
            Membership::Server if identity.rooms.contains(&room) => {}
            // ORDER: these go before anything is awaited.
            Membership::Server => expel(node, conn, &room),
            // The application put it there, and takes it out.
            Membership::Given => {}
            Membership::Requested => requested.push(room),
        }
    }
    // One deadline for all of them: a hundred rooms take no longer than one.
    let deadline = Instant::now() + node.config.authority_timeout;
    let questions = requested.into_iter().map(|room| async move {
        let asked = node.may_join(identity, &room);
        let access = timeout_at(deadline, asked).await.unwrap_or(Access::Unavailable);
        (room, access)
    });
    let mut answers = std::pin::pin!(futures_util::stream::iter(questions).buffer_unordered(QUESTIONS));
    while let Some((room, access)) = answers.next().await {
        let goes = match access {
            Access::Allowed => false,
            Access::Forbidden => true,
            Access::Unavailable => another_role,
        };
        if goes && conn.membership(&room) == Some(Membership::Requested) {
            expel(node, conn, &room);
        }
    }
}
