//! The handle: everything a service asks of its rooms.

use std::fmt;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::auth::{Authority, Credential, PeerInfo};
use crate::backplane::{Backplane, Loss};
use crate::config::RoomsConfig;
use crate::directory::Place;
use crate::error::{Error, ErrorKind};
use crate::node::Node;
use crate::protocol::{Close, GapReason, RoomId};
use crate::publication::{Delivery, Fanout, Publication};
use crate::refusal::Refusal;
use crate::revocation::Revocation;
use crate::session::{self, Conn};

/// A cheap handle to a node's rooms. Clones are the same node.
///
/// Made inside a Tokio runtime, on which the connections run.
#[derive(Clone)]
pub struct Rooms {
    pub(crate) node: Arc<Node>,
}

/// A user who has been let in; [`Rooms::serve`] turns it into a connection.
///
/// It already counts against the limits, and is closed with its session; dropping it gives the
/// place back.
pub struct Admission {
    pub(crate) node: Arc<Node>,
    pub(crate) conn: Arc<Conn>,
    /// Held for the place of the address.
    pub(crate) _place: Place,
}

/// Numbers of a node at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoomsStats {
    /// Open connections.
    pub connections: usize,
    /// Rooms with members.
    pub rooms: usize,
    /// Bytes that wait for sockets.
    pub queued_bytes: usize,
    /// Event and position frames written since the start.
    pub delivered: u64,
    /// Frames dropped for slow readers since the start.
    pub dropped: u64,
}

// === impl Rooms ===

impl Rooms {
    /// A node with its authority, on a backplane.
    #[must_use]
    pub fn new(config: RoomsConfig, authority: impl Authority, backplane: Backplane) -> Self {
        let node = Node::new(config, Box::new(authority), backplane);
        Self { node }
    }

    /// Lets a user in, if the limits, the authority and a drain allow: everything of
    /// [`upgrade`](Self::upgrade) but HTTP.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] for the client.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind when dropped.
    pub async fn admit(&self, credential: Credential, peer: PeerInfo) -> Result<Admission, Refusal> {
        let place = self.node.reserve(peer.addr)?;
        self.node.admit(credential, peer, place).await
    }

    /// Serves a connection over anything that carries bytes, after the handshake; returns the
    /// close code.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the connection ends without a word and leaves its rooms.
    pub async fn serve<S>(&self, admission: Admission, io: S) -> u16
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.node.tasks.track_future(admission.serve(io)).await
    }

    /// Passes an event to its rooms. On return the backplane has numbered and kept it, and passes it on to all nodes.
    ///
    /// The memory backplane has done so by then: every connection of its nodes has the event queued, or was told or cut
    /// for being slow. With Redis the nodes hear of it from there, a little later, and the counts are none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`]; [`ErrorKind::InvalidRoom`] for a local room;
    /// [`ErrorKind::Backplane`], then a retry with the same id counts once.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the event may be in none, some or all of its rooms; publishing it again
    /// under the same id completes it.
    pub async fn publish(&self, publication: Publication) -> Result<Delivery, Error> {
        let fanout = self.fanout(publication, Lane::Shared)?;
        self.node.backplane().driver().publish(fanout.clone()).await?;
        Ok(fanout.delivery())
    }

    /// Passes an event to local rooms of this node: no history, no other node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`]; [`ErrorKind::InvalidRoom`] when a rule does not make the room local.
    pub fn publish_local(&self, publication: Publication) -> Result<Delivery, Error> {
        let fanout = self.fanout(publication, Lane::Local)?;
        self.node.append_local(&fanout);
        Ok(fanout.delivery())
    }

    /// An event of this id belongs to these rooms and cannot be passed on: members get a `gap` in its place, and who
    /// comes back from before it is told to reload. As many rooms as are needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Backplane`]: some of the rooms may not have it. A retry with the same id counts once in each.
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn skip(&self, id: &str, rooms: &[RoomId], reason: GapReason) -> Result<(), Error> {
        let is_local = |room: &&RoomId| self.node.config.rule(room).local;
        let (local, shared): (Vec<_>, Vec<_>) = rooms.iter().partition(is_local);
        for rooms in [local, shared] {
            if let Some(first) = rooms.first() {
                let rooms: Vec<RoomId> = rooms.iter().map(|room| (*room).clone()).collect();
                self.node.lane(first).skip(&rooms, id, reason).await?;
            }
        }
        Ok(())
    }

    /// Takes rights back before their tokens' end, on all nodes: of a session, of a user, or to a room.
    ///
    /// Connections of such tokens end at once (4009), and whoever comes with one is refused (`TOKEN_REVOKED`) until the
    /// revocation's end. Which ones these are: [`Revocation`]. One about a room takes the members out of it, whoever put them in; they are told
    /// (`unsubscribed`, `forbidden`) and get nothing more that is published after the return. Until the revocation's
    /// end a token of before does not get in again, and the authority is not even asked; with a newer token it is.
    ///
    /// Remembered until its end, and 100,000 of them: beyond that every token issued until then, by this host's clock
    /// and whatever they said, counts as ended (`TOKEN_EXPIRED`), and its holder may join nothing before the renewal. A
    /// token whose issuer's clock is ahead of that counts as newer for as long as the clock is ahead: whoever ends that
    /// many sessions keeps the clocks together. One whose end is not later than now is about those who are there, and is
    /// not remembered.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`]: its end is further away than [`RoomsConfig::max_token_life`], and it is in force nowhere.
    /// [`ErrorKind::Backplane`]: it is in force on this node all the same, and reaches the others once the backplane is
    /// back, unless this process ends before. [`ErrorKind::QueueFull`]: it is in force on all nodes, and the
    /// backplane had no place, or no leave, to keep it for those that start later.
    ///
    /// # Cancel safety
    ///
    /// In force on this node once polled. When dropped, as after an error.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), Error> {
        if !revocation.is_within(self.node.config.max_token_life) {
            return Err(Error::with(ErrorKind::Config, "the revocation lasts longer than a token may live"));
        }
        self.node.revoke(&revocation);
        self.node.backplane().driver().revoke(&revocation).await
    }

    /// The events that feed this node were lost for a while, and its histories with them: every
    /// room is numbered anew, and its members get a `gap` with the new epoch.
    pub async fn new_epochs(&self) {
        self.node.backplane().driver().lose_place(Loss::NewEpochs).await;
    }

    /// What feeds this node's rooms was lost for a while, its queue for example.
    ///
    /// Where this process numbers, nothing of before looks whole any more: [`new_epochs`](Self::new_epochs). Where nodes
    /// share their histories (Redis), the others have brought what this one missed, and its members alone are told to
    /// reload: a `gap`, `source`.
    pub async fn lose_source(&self) {
        let driver = self.node.backplane().driver();
        let loss = match driver.is_shared() {
            true => Loss::Gap(GapReason::Source),
            false => Loss::NewEpochs,
        };
        driver.lose_place(loss).await;
    }

    /// Something may have been lost for the members of all rooms: tells them to reload.
    pub async fn gap_all(&self, reason: GapReason) {
        self.node.backplane().driver().lose_place(Loss::Gap(reason)).await;
    }

    /// Whether anybody is in a room of this node: spares the making of what nobody would see.
    #[must_use]
    pub fn has_members(&self, room: &RoomId) -> bool {
        let mut any = false;
        self.node.registry.each(room, |_| any = true);
        any
    }

    /// The node's numbers.
    #[must_use]
    pub fn stats(&self) -> RoomsStats {
        let node = &self.node;
        RoomsStats {
            connections: node.directory.len(),
            rooms: node.registry.rooms(),
            queued_bytes: node.metrics.queued_bytes(),
            delivered: node.metrics.delivered_total(),
            dropped: node.metrics.dropped_total(),
        }
    }

    /// How this node behaves.
    #[must_use]
    pub fn config(&self) -> &RoomsConfig {
        &self.node.config
    }

    fn fanout(&self, publication: Publication, lane: Lane) -> Result<Fanout, Error> {
        if publication.event().len() > self.node.config.limits.event_bytes {
            return Err(Error::new(ErrorKind::TooLarge));
        }
        let local = |room| self.node.config.rule(room).local;
        if publication.rooms().iter().any(|room| local(room) != (lane == Lane::Local)) {
            return Err(Error::new(ErrorKind::InvalidRoom));
        }
        Ok(Fanout::new(Arc::new(publication)))
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

// === impl Admission ===

impl Admission {
    /// The user's id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.conn.user
    }

    /// The connection's id, as the welcome will say.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.conn.name
    }

    pub(crate) fn serve<S>(self, io: S) -> impl Future<Output = u16> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // Boxed: a connection's future lives as long as the connection, and should not be
        // copied around on its way into a task.
        let run = Box::pin(session::run(Arc::clone(&self.node), Arc::clone(&self.conn), io));
        async move {
            let code = run.await;
            self.node.metrics.closed(code);
            code
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.node.directory.unregister(&self.conn);
        session::leave_all(&self.node, &self.conn);
        // Nothing is queued from here on, and the gauge gets the queue's bytes back.
        self.conn.outbox(|outbox| {
            outbox.close(Close::new(1006, ""));
            outbox.clear();
        });
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("connection", &self.conn.name).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Lane {
    Local,
    Shared,
}
