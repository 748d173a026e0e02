//! The node: rooms, their members, and everything a service asks of them.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Once, Weak};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::auth::{Access, Authority, Credential, ErasedAuthority, Identity, PeerInfo};
use crate::backplane::{Backplane, ErasedDriver, Loss, MemoryBackplane};
use crate::config::{HistoryConfig, RoomsConfig};
use crate::directory::{Denied, Directory, Place, Target};
use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::protocol::{Close, GapReason, Position, RoomId};
use crate::publication::{Delivery, Entry, Fanout, Publication};
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::session::{self, Conn, Heart};

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
    node: Arc<Node>,
    conn: Arc<Conn>,
    /// Held for the place of the address.
    _place: Place,
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

/// Where a backplane puts what belongs to a node's rooms. It does not keep the node alive.
#[derive(Clone)]
pub struct Sink {
    node: Weak<Node>,
}

/// What the handle and the tasks share.
pub(crate) struct Node {
    pub(crate) config: RoomsConfig,
    pub(crate) registry: Registry,
    pub(crate) directory: Arc<Directory>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    authority: Box<dyn ErasedAuthority>,
    backplane: Backplane,
    /// Numbers the rooms that live on this node only.
    local: MemoryBackplane,
    started: Instant,
    sweeper: Once,
}

// === impl Rooms ===

impl Rooms {
    /// A node with its authority, on a backplane.
    #[must_use]
    pub fn new(config: RoomsConfig, authority: impl Authority, backplane: Backplane) -> Self {
        let node = Arc::new(Node {
            config,
            registry: Registry::new(),
            directory: Arc::new(Directory::new()),
            metrics: Arc::new(Metrics::new()),
            tasks: TaskTracker::new(),
            authority: Box::new(authority),
            backplane,
            local: MemoryBackplane::new(HistoryConfig::none()),
            started: Instant::now(),
            sweeper: Once::new(),
        });
        let sink = Sink {
            node: Arc::downgrade(&node),
        };
        node.backplane.driver().attach(sink.clone());
        ErasedDriver::attach(&node.local, sink);
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
    pub async fn admit(
        &self,
        credential: Credential,
        peer: PeerInfo,
    ) -> Result<Admission, Refusal> {
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

    /// Passes an event to its rooms. On return every connection of this node has it queued, or
    /// was told or cut for being slow; other nodes get it through the backplane.
    ///
    /// The counts are of this process's nodes, as far as the backplane delivers before it returns.
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
        self.node.backplane.driver().publish(fanout.clone()).await?;
        Ok(fanout.delivery())
    }

    /// Passes an event to local rooms of this node: no history, no other node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`]; [`ErrorKind::InvalidRoom`] when a rule does not make the room local.
    pub fn publish_local(&self, publication: Publication) -> Result<Delivery, Error> {
        let fanout = self.fanout(publication, Lane::Local)?;
        self.node.local.append(&fanout);
        Ok(fanout.delivery())
    }

    /// Closes all connections of a session, those that are just being let in too.
    pub fn close_session(&self, session_id: &str, close: &Close) -> usize {
        self.node.directory.close(&Target::Session(session_id.to_owned()), close)
    }

    /// Closes all connections of a user, those that are just being let in too.
    pub fn close_user(&self, user_id: &str, close: &Close) -> usize {
        self.node.directory.close(&Target::User(user_id.to_owned()), close)
    }

    /// The events that feed this node were lost for a while, and its histories with them: every
    /// room is numbered anew, and its members get a `gap` with the new epoch.
    pub async fn new_epochs(&self) {
        self.node.backplane.driver().lose_place(Loss::NewEpochs).await;
    }

    /// Something may have been lost for the members of all rooms: tells them to reload.
    pub async fn gap_all(&self, reason: GapReason) {
        self.node.backplane.driver().lose_place(Loss::Gap(reason)).await;
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

    pub(crate) async fn serve<S>(self, io: S) -> u16
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // Boxed: a connection's future lives as long as the connection, and should not be
        // copied around on its way into a task.
        let run = Box::pin(session::run(Arc::clone(&self.node), Arc::clone(&self.conn), io));
        let code = run.await;
        self.node.metrics.closed(code);
        code
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.node.directory.unregister(&self.conn);
        session::leave_all(&self.node, &self.conn);
        // Gives the queue's bytes back to the gauge.
        self.conn.outbox(|outbox| outbox.close(Close::new(1006, "")));
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("connection", &self.conn.name).finish_non_exhaustive()
    }
}

// === impl Sink ===

impl Sink {
    /// Queues an entry for the room's members on this node. Entries of a room must come in order.
    pub fn deliver(&self, entry: &Arc<Entry>) {
        if let Some(node) = self.node.upgrade() {
            let policy = node.config.rule(&entry.room).slow;
            node.registry.each(&entry.room, |conn| conn.deliver(entry, policy));
        }
    }

    /// Tells the room's members on this node that something is missing before this place.
    pub fn gap(&self, room: &RoomId, at: &Position, reason: GapReason) {
        if let Some(node) = self.node.upgrade() {
            node.registry.each(room, |conn| conn.gap(room, at, reason));
        }
    }

    /// Whether the node is gone, so that the sink may be forgotten.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.node.strong_count() == 0
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

// === impl Node ===

impl Node {
    /// The backplane that numbers a room.
    pub(crate) fn lane(&self, room: &RoomId) -> &dyn ErasedDriver {
        if self.config.rule(room).local {
            &self.local
        } else {
            self.backplane.driver()
        }
    }

    /// Asks the authority who this is, with a deadline.
    pub(crate) async fn authenticate(
        &self,
        credential: Credential,
        peer: &PeerInfo,
    ) -> Result<Identity, Refusal> {
        let asked = self.authority.authenticate(credential, peer);
        let identity = timeout(self.config.authority_timeout, asked).await.unwrap_or_else(|_| {
            let retry = std::time::Duration::from_secs(1);
            Err(Refusal::unavailable("the token could not be checked in time", retry))
        })?;
        if identity.expires_at <= jiff::Timestamp::now() {
            return Err(Refusal::token_expired());
        }
        Ok(identity)
    }

    /// Asks the authority about a room, with a deadline.
    pub(crate) async fn may_join(&self, identity: &Identity, room: &RoomId) -> Access {
        if self.config.rule(room).server_only {
            return Access::Forbidden;
        }
        let asked = self.authority.may_join(identity, room);
        timeout(self.config.authority_timeout, asked).await.unwrap_or(Access::Unavailable)
    }

    pub(crate) fn reserve(&self, addr: IpAddr) -> Result<Place, Refusal> {
        self.directory.reserve(addr, &self.config.limits).map_err(|denied| self.deny(&denied))
    }

    pub(crate) async fn admit(
        self: &Arc<Self>,
        credential: Credential,
        peer: PeerInfo,
        place: Place,
    ) -> Result<Admission, Refusal> {
        let started = Instant::now();
        let identity = self.authenticate(credential, &peer).await?;
        let limits = &self.config.limits;
        let conn = Arc::new(Conn::new(
            identity.clone(),
            peer,
            Heart::new(self.started, identity.expires_at),
            limits.queued_bytes,
            limits.held_bytes,
            Arc::clone(&self.metrics),
        ));
        self.directory
            .register(&conn, started, limits)
            .map_err(|denied| self.deny(&denied))?;
        self.sweeper.call_once(|| {
            let sweep = session::sweep(Arc::downgrade(self), self.config.heartbeat.clone());
            tokio::spawn(sweep);
        });
        Ok(Admission {
            node: Arc::clone(self),
            conn,
            _place: place,
        })
    }

    fn deny(&self, denied: &Denied) -> Refusal {
        let soon = std::time::Duration::from_secs(1);
        match denied {
            Denied::Address => Refusal::rate_limited("too many connections from this address"),
            Denied::User => Refusal::rate_limited("too many connections of this user"),
            Denied::Closed => Refusal::token_revoked(),
            Denied::Draining => Refusal::unavailable(
                "this node is going down",
                self.config.drain_spread.mul_f64(rand::random::<f64>()),
            ),
            Denied::Busy | Denied::Node => Refusal::unavailable("this node is full", soon),
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Lane {
    Local,
    Shared,
}
