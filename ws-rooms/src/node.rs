//! What the handle and the tasks of a node share.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::auth::{Access, Credential, ErasedAuthority, Identity, PeerInfo};
use crate::backplane::{Backplane, ErasedDriver, MemoryBackplane};
use crate::config::{HistoryConfig, RoomsConfig};
use crate::directory::{Denied, Directory, Place};
use crate::metrics::Metrics;
use crate::presence::LINGER;
use crate::protocol::{GapReason, Position, RoomId};
use crate::publication::{Entry, Fanout};
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::revocation::{Revocation, Who};
use crate::rooms::Admission;
use crate::session::{self, Conn, Heart};

/// One node.
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

/// Where a backplane puts what belongs to a node's rooms. It does not keep the node alive.
#[derive(Clone)]
pub struct Sink {
    node: Weak<Node>,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(
        config: RoomsConfig,
        authority: Box<dyn ErasedAuthority>,
        backplane: Backplane,
    ) -> Arc<Self> {
        let node = Arc::new(Self {
            config,
            registry: Registry::new(),
            directory: Arc::new(Directory::new()),
            metrics: Arc::new(Metrics::new()),
            tasks: TaskTracker::new(),
            authority,
            backplane,
            local: MemoryBackplane::new(HistoryConfig::none()),
            started: Instant::now(),
            sweeper: Once::new(),
        });
        let sink = Sink { node: Arc::downgrade(&node) };
        node.backplane.driver().attach(sink.clone());
        ErasedDriver::attach(&node.local, sink);
        node
    }

    pub(crate) fn backplane(&self) -> &Backplane {
        &self.backplane
    }

    /// Passes an event to local rooms.
    pub(crate) fn append_local(&self, fanout: &Fanout) {
        self.local.append(fanout);
    }

    /// How long a user stays after their last connection. In a drain everybody comes back elsewhere, a little later.
    pub(crate) fn linger(&self) -> Duration {
        if self.directory.is_draining() { LINGER + self.config.drain_spread } else { LINGER }
    }

    /// What has to go with time.
    pub(crate) fn tidy(&self) {
        self.backplane.driver().tidy();
        self.local.settle();
    }

    /// The backplane that numbers a room.
    pub(crate) fn lane(&self, room: &RoomId) -> &dyn ErasedDriver {
        if self.config.rule(room).local { &self.local } else { self.backplane.driver() }
    }

    /// Asks the authority who this is, with a deadline.
    pub(crate) async fn authenticate(
        &self,
        credential: Credential,
        peer: &PeerInfo,
    ) -> Result<Identity, Refusal> {
        let asked = self.authority.authenticate(credential, peer);
        let identity = timeout(self.config.authority_timeout, asked).await.unwrap_or_else(|_| {
            let retry = Duration::from_secs(1);
            Err(Refusal::unavailable("the token could not be checked in time", retry))
        })?;
        if identity.expires_at <= Timestamp::now() {
            return Err(Refusal::token_expired());
        }
        Ok(identity)
    }

    /// Asks who decides about a room, with a deadline.
    pub(crate) async fn may_join(&self, identity: &Identity, room: &RoomId) -> Access {
        let rule = self.config.rule(room);
        if rule.server_only {
            return Access::Forbidden;
        }
        let known = self.directory.known.in_room(identity, room);
        if known != Access::Allowed {
            return known;
        }
        let asked = async {
            match rule.may_join(identity, room) {
                Some(asked) => asked.await,
                None => self.authority.may_join(identity, room).await,
            }
        };
        timeout(self.config.authority_timeout, asked).await.unwrap_or(Access::Unavailable)
    }

    /// Takes a revocation into force on this node.
    pub(crate) fn revoke(&self, revocation: &Revocation) {
        // ORDER: known first. Who is admitted or joins meanwhile looks there afterwards.
        if !self.directory.known.insert(revocation) {
            return;
        }
        let mut conns = self.directory.concerned(revocation);
        let Some(room) = &revocation.scope.room else {
            let close = revocation.ended().close();
            return conns.iter().for_each(|conn| conn.close(close.clone()));
        };
        if revocation.scope.who == Who::Everybody {
            self.registry.each(room, |conn| conns.push(Arc::clone(conn)));
            conns.retain(|conn| revocation.concerns(&conn.identity()));
        }
        for conn in conns {
            conn.order_leave(self, room);
        }
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
        if self.backplane.driver().ready().await.is_err() {
            // Nobody could be told where their rooms stand, nor does anybody know whose rights have ended. Drawn, so that
            // they do not come back as one.
            let again = Duration::from_secs(1).mul_f64(1.0 + 4.0 * rand::random::<f64>());
            return Err(Refusal::unavailable("the rooms are not there just now", again));
        }
        let started = Instant::now();
        let identity = self.authenticate(credential, &peer).await?;
        let limits = &self.config.limits;
        let conn = Arc::new(Conn::new(
            identity.clone(),
            peer,
            Heart::new(self.started, identity.expires_at, self.config.max_lifetime),
            limits.queued_bytes,
            limits.held_bytes,
            Arc::clone(&self.metrics),
        ));
        self.directory.register(&conn, started, limits).map_err(|denied| self.deny(&denied))?;
        self.sweeper.call_once(|| {
            let sweep = session::sweep(Arc::downgrade(self), self.config.heartbeat.clone());
            tokio::spawn(sweep);
        });
        Ok(Admission { node: Arc::clone(self), conn, _place: place })
    }

    fn deny(&self, denied: &Denied) -> Refusal {
        let soon = Duration::from_secs(1);
        match denied {
            Denied::Address => Refusal::rate_limited("too many connections from this address"),
            Denied::User => Refusal::rate_limited("too many connections of this user"),
            Denied::Closed(close) => match close.code {
                4009 => Refusal::token_revoked(),
                4201 => Refusal::token_expired(),
                _ => Refusal::unavailable("this connection was closed", soon),
            },
            Denied::Ended(ended) => ended.refusal(),
            Denied::Draining => Refusal::unavailable(
                "this node is going down",
                self.config.drain_spread.mul_f64(rand::random::<f64>()),
            ),
            Denied::Busy | Denied::Node => Refusal::unavailable("this node is full", soon),
        }
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
            let policy = node.config.rule(room).slow;
            node.registry.each(room, |conn| conn.gap(room, at, reason, policy));
        }
    }

    /// Tells the room's members on this node that a user has come, all but the user's own connections.
    pub fn joined(&self, room: &RoomId, user: &str) {
        if let Some(node) = self.node.upgrade() {
            node.registry.tell("joined", room, user);
        }
    }

    /// Tells the room's members on this node that a user has left.
    pub fn left(&self, room: &RoomId, user: &str) {
        if let Some(node) = self.node.upgrade() {
            node.registry.tell("left", room, user);
        }
    }

    /// Takes a revocation into force on this node. One that it knows already changes nothing.
    pub fn revoke(&self, revocation: &Revocation) {
        if let Some(node) = self.node.upgrade() {
            node.revoke(revocation);
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
