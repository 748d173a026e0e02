//! Where events are numbered and kept, and how they reach each node.
//!
//! [`Backplane::memory`] numbers on the node itself: clones of one memory backplane may serve
//! several nodes of one process, another process has other epochs. A driver of your own
//! implements [`Driver`] and passes the conformance suite (feature `test-support`).

mod memory;
#[cfg(feature = "redis")]
mod redis;

pub use self::memory::MemoryBackplane;
#[cfg(feature = "redis")]
pub use self::redis::{RedisBackplane, RedisConfig};
pub use crate::node::Sink;
pub use crate::publication::{Entry, Fanout};

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::config::HistoryConfig;
use crate::error::{Error, ErrorKind};
use crate::protocol::{GapReason, Member, NotRecovered, Position, RoomId};
use crate::publication::Publication;
use crate::revocation::Revocation;

/// A cheap handle to the place where events are numbered.
#[derive(Clone)]
pub struct Backplane {
    driver: Arc<dyn ErasedDriver>,
}

/// What a backplane does for the nodes on it.
///
/// Promises, held by the conformance suite: offsets of a room count by one within an epoch;
/// every sink that joined a room is given each entry of it once and in order; an event id is
/// appended to a room once, however large or old the event, among the newest 1,024 ids of the
/// room, or as many as a bound for all rooms leaves of them; [`recover`](Self::recover) is whole
/// or nothing.
pub trait Driver: Send + Sync + 'static {
    /// Takes a node's sink: entries of rooms that the node has joined go there.
    fn attach(&self, sink: Sink);

    /// Appends to each of the publication's rooms, in order, and passes the entries on.
    fn publish(&self, fanout: Fanout) -> impl Future<Output = Result<(), Error>> + Send;

    /// From the return on, entries of the room reach the sinks. Counted: a node calls it once
    /// for each of its members.
    fn join(&self, room: &RoomId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes one [`join`](Self::join) back.
    fn leave(&self, room: &RoomId);

    /// Where the room stands, and what came after `since`.
    fn recover(
        &self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> impl Future<Output = Result<Recovery, Error>> + Send;

    /// An event of this id belongs to the rooms, however many, and cannot be passed on: it takes a number in each all
    /// the same, once for its id. Members get a `gap` there, and nobody recovers across it. An error is of one room at
    /// least; the others have been seen to.
    fn skip(
        &self,
        rooms: &[RoomId],
        id: &str,
        reason: GapReason,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The events that feed the rooms were lost for a while: tells the members of every room.
    fn lose_place(&self, loss: Loss) -> impl Future<Output = ()> + Send;

    /// A connection of this user has come into a room that shows who is there. The sinks are told of the user's first,
    /// once over all nodes; one who comes back before the leave was due has never left. Must not wait.
    fn enter(&self, room: &RoomId, user: &Arc<str>);

    /// Takes one [`enter`](Self::enter) back; the sinks are told of the user's last, `after` so long. The connections
    /// of a node that is gone are taken back by the others. Must not wait.
    fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration);

    /// Who is in the room, on all nodes, by user id. One who may come back in time is among them, with no connections.
    fn present(&self, room: &RoomId) -> impl Future<Output = Result<Vec<Member>, Error>> + Send;

    /// Takes a revocation to the sinks of all nodes, in any order with entries, and keeps it until its end for the sinks
    /// that are attached later. It may come again.
    fn revoke(&self, revocation: &Revocation) -> impl Future<Output = Result<(), Error>> + Send;

    /// Called about once a second by each node with connections: for what has to go with time, also when nothing
    /// else happens. Must not wait. Does nothing unless a driver has something to do.
    fn tidy(&self) {}

    /// Whether rooms can be joined and published to. A short interruption counts as up while callers still wait for
    /// its end. Always, unless a driver knows better.
    fn is_up(&self) -> bool {
        true
    }

    /// Waits, no longer than other callers do, until people may be let in: this process knows whose rights have ended.
    /// Whether it [is up](Self::is_up), unless a driver knows better.
    fn ready(&self) -> impl Future<Output = Result<(), Error>> + Send {
        let is_up = self.is_up();
        async move { if is_up { Ok(()) } else { Err(Error::new(ErrorKind::Backplane)) } }
    }

    /// Whether nodes of other processes feed the same histories, so that what one of them missed another may have
    /// brought. Never, unless a driver knows better.
    fn is_shared(&self) -> bool {
        false
    }
}

/// How much one recovery may hold.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RecoveryBounds {
    /// Events.
    pub events: usize,
    /// Bytes of their text.
    pub bytes: usize,
}

/// What [`Driver::recover`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovery {
    /// Where the room stands; what comes later reaches the sinks.
    pub position: Position,
    /// Everything after `since` up to `position`, or why not. `None` when nothing was asked.
    pub missed: Option<Result<Vec<Missed>, NotRecovered>>,
}

/// An event in a recovery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Missed {
    /// Its number.
    pub offset: u64,
    /// The event.
    pub publication: Arc<Publication>,
}

/// What is known about a lost place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// Histories cannot be trusted any more: every room is numbered anew.
    NewEpochs,
    /// Histories stand, but something may be missing for live members.
    Gap(GapReason),
}

// === impl Backplane ===

impl Backplane {
    /// Numbers on this node, with the default history.
    #[must_use]
    pub fn memory() -> Self {
        Self::memory_with(HistoryConfig::default())
    }

    /// Numbers on this node, with a history of this size.
    #[must_use]
    pub fn memory_with(history: HistoryConfig) -> Self {
        Self::new(MemoryBackplane::new(history))
    }

    /// Numbers in Redis, for all nodes that use it with this prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the URL or the prefix cannot be used. Whether Redis is there
    /// shows later: [`is_up`](Self::is_up).
    #[cfg(feature = "redis")]
    pub fn redis(config: RedisConfig) -> Result<Self, Error> {
        RedisBackplane::new(config).map(Self::new)
    }

    /// A driver of your own.
    #[must_use]
    pub fn new(driver: impl Driver) -> Self {
        Self { driver: Arc::new(driver) }
    }

    /// Whether rooms can be joined and published to just now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.driver.is_up()
    }

    pub(crate) fn driver(&self) -> &dyn ErasedDriver {
        &*self.driver
    }
}

impl fmt::Debug for Backplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backplane").finish_non_exhaustive()
    }
}

// === impl RecoveryBounds ===

impl RecoveryBounds {
    /// These bounds.
    #[must_use]
    pub fn new(events: usize, bytes: usize) -> Self {
        Self { events, bytes }
    }
}

// === impl Recovery ===

impl Recovery {
    /// A position and what was missed up to it.
    #[must_use]
    pub fn new(position: Position, missed: Option<Result<Vec<Missed>, NotRecovered>>) -> Self {
        Self { position, missed }
    }
}

// === impl Missed ===

impl Missed {
    /// An event and its number.
    #[must_use]
    pub fn new(offset: u64, publication: Arc<Publication>) -> Self {
        Self { offset, publication }
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe twin of [`Driver`].
pub(crate) trait ErasedDriver: Send + Sync {
    fn attach(&self, sink: Sink);
    fn publish(&self, fanout: Fanout) -> BoxFuture<'_, Result<(), Error>>;
    fn join<'a>(&'a self, room: &'a RoomId) -> BoxFuture<'a, Result<(), Error>>;
    fn leave(&self, room: &RoomId);
    fn recover<'a>(
        &'a self,
        room: &'a RoomId,
        since: Option<&'a Position>,
        bounds: RecoveryBounds,
    ) -> BoxFuture<'a, Result<Recovery, Error>>;
    fn skip<'a>(
        &'a self,
        rooms: &'a [RoomId],
        id: &'a str,
        reason: GapReason,
    ) -> BoxFuture<'a, Result<(), Error>>;
    fn lose_place(&self, loss: Loss) -> BoxFuture<'_, ()>;
    fn enter(&self, room: &RoomId, user: &Arc<str>);
    fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration);
    fn present<'a>(&'a self, room: &'a RoomId) -> BoxFuture<'a, Result<Vec<Member>, Error>>;
    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<(), Error>>;
    fn tidy(&self);
    fn is_up(&self) -> bool;
    fn ready(&self) -> BoxFuture<'_, Result<(), Error>>;
    fn is_shared(&self) -> bool;
}

impl<D: Driver> ErasedDriver for D {
    fn attach(&self, sink: Sink) {
        Driver::attach(self, sink);
    }

    fn publish(&self, fanout: Fanout) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(Driver::publish(self, fanout))
    }

    fn join<'a>(&'a self, room: &'a RoomId) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Driver::join(self, room))
    }

    fn leave(&self, room: &RoomId) {
        Driver::leave(self, room);
    }

    fn recover<'a>(
        &'a self,
        room: &'a RoomId,
        since: Option<&'a Position>,
        bounds: RecoveryBounds,
    ) -> BoxFuture<'a, Result<Recovery, Error>> {
        Box::pin(Driver::recover(self, room, since, bounds))
    }

    fn skip<'a>(
        &'a self,
        rooms: &'a [RoomId],
        id: &'a str,
        reason: GapReason,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Driver::skip(self, rooms, id, reason))
    }

    fn lose_place(&self, loss: Loss) -> BoxFuture<'_, ()> {
        Box::pin(Driver::lose_place(self, loss))
    }

    fn enter(&self, room: &RoomId, user: &Arc<str>) {
        Driver::enter(self, room, user);
    }

    fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration) {
        Driver::exit(self, room, user, after);
    }

    fn present<'a>(&'a self, room: &'a RoomId) -> BoxFuture<'a, Result<Vec<Member>, Error>> {
        Box::pin(Driver::present(self, room))
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Driver::revoke(self, revocation))
    }

    fn tidy(&self) {
        Driver::tidy(self);
    }

    fn is_up(&self) -> bool {
        Driver::is_up(self)
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(Driver::ready(self))
    }

    fn is_shared(&self) -> bool {
        Driver::is_shared(self)
    }
}
