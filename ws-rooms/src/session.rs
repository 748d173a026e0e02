//! One connection: its shared half, which anybody may push into, and its one task.

mod bell;
mod count;
mod cursor;
#[cfg(feature = "test-support")]
mod echo;
mod heartbeat;
mod intake;
mod join;
mod line;
mod outbox;
mod pace;
mod places;
mod reader;
mod renewal;
mod requests;
mod sweep;
mod task;
mod wire;
mod writer;

use self::bell::Bell;
#[cfg(feature = "test-support")]
pub(crate) use self::echo::echo;
pub(crate) use self::heartbeat::Heart;
pub(crate) use self::join::leave_all;
pub(crate) use self::outbox::Outbox;
use self::places::Places;
#[cfg(fuzzing)]
pub(crate) use self::reader::{Heard, Reader};
pub(crate) use self::sweep::sweep;
pub(crate) use self::task::run;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use uuid::Uuid;

use crate::auth::{Identity, PeerInfo};
use crate::config::SlowPolicy;
use crate::metrics::Metrics;
use crate::protocol::codec::Text;
use crate::protocol::{Close, GapReason, Position, RoomId};
use crate::publication::Entry;

/// A connection's id; unique over all nodes, and in the order in which connections of a node came.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ConnId(pub(crate) Uuid);

/// The half of a connection that others hold: publishers, the directory, the sweep.
///
/// No lock here is held over an `.await`, and none is taken while another of this struct is held.
///
/// In this order, since a delivery's time is the memory that it touches: what it needs stands together at the end, where the
/// heart ends and the outbox begins.
#[repr(C)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    /// The same id as text, for the welcome.
    pub(crate) name: String,
    pub(crate) user: Arc<str>,
    pub(crate) peer: PeerInfo,
    identity: Mutex<Arc<Identity>>,
    places: Mutex<Places>,
    pub(crate) heart: Heart,
    metrics: Arc<Metrics>,
    desk: Mutex<Desk>,
}

/// What publishers and the task hand to each other.
#[repr(C)]
struct Desk {
    /// Rung when something was queued, or a close was asked for.
    bell: Bell,
    outbox: Outbox,
}

/// Who put a connection into a room. Of several the last one in this order counts: what the client asked for, its token
/// may end, and what its token names, the application may keep.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Membership {
    /// The client asked for it.
    Requested,
    /// Its token names the room.
    Server,
    /// The application put it there.
    Given,
}

// === impl ConnId ===

impl ConnId {
    /// Reads an id as the welcome says it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

// === impl Membership ===

impl Membership {
    /// Not for the client to ask for, nor to leave.
    pub(crate) fn is_servers(self) -> bool {
        self != Self::Requested
    }
}

// === impl Conn ===

impl Conn {
    pub(crate) fn new(
        identity: Identity,
        peer: PeerInfo,
        heart: Heart,
        queued_bytes: usize,
        held_bytes: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let id = Uuid::now_v7();
        Self {
            id: ConnId(id),
            name: id.to_string(),
            user: identity.user_id.as_str().into(),
            peer,
            identity: Mutex::new(Arc::new(identity)),
            places: Mutex::default(),
            heart,
            metrics,
            desk: Mutex::new(Desk { bell: Bell::default(), outbox: Outbox::new(queued_bytes, held_bytes) }),
        }
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&lock(&self.identity))
    }

    pub(crate) fn set_identity(&self, identity: Arc<Identity>) {
        *lock(&self.identity) = identity;
    }

    /// Looks into or changes the outbox, accounts for its bytes, and wakes the task if there is
    /// something new to do.
    pub(crate) fn outbox<T>(&self, change: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut desk = lock(&self.desk);
        let Desk { bell, outbox } = &mut *desk;
        let (before, idle, closing) = (outbox.bytes(), outbox.is_idle(), outbox.closing().is_some());
        let result = change(outbox);
        let after = outbox.bytes();
        // A task with frames to write looks again by itself, but must hear of a close at once.
        let wakes = (idle && !outbox.is_idle()) || (!closing && outbox.closing().is_some());
        let waker = if wakes { bell.waker() } else { None };
        drop(desk);
        self.account(before, after);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// A turn of the task, which looks into the outbox and takes from it; `look` is told whether there may be something
    /// to do beside that. Until the next turn `waker` is woken for whatever comes.
    fn turn<T>(&self, waker: &Waker, look: impl FnOnce(&mut Outbox, bool) -> T) -> T {
        let mut desk = lock(&self.desk);
        let Desk { bell, outbox } = &mut *desk;
        let (rung, another) = bell.answer(waker);
        let before = outbox.bytes();
        let result = look(outbox, rung);
        let after = outbox.bytes();
        drop(desk);
        drop(another);
        self.account(before, after);
        result
    }

    /// Has the task look at all that it might have to do.
    pub(crate) fn ring(&self) {
        let waker = lock(&self.desk).bell.ring();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The gauge of what is queued.
    fn account(&self, before: usize, after: usize) {
        if after > before {
            self.metrics.queued(after - before);
        } else if before > after {
            self.metrics.unqueued(before - after);
        }
    }

    /// Queues an entry of a room, by the room's policy when the queue is full.
    pub(crate) fn deliver(&self, entry: &Arc<Entry>, policy: SlowPolicy) {
        let dropped = self.outbox(|outbox| outbox.offer(entry, policy));
        self.metrics.drop_frames(dropped);
    }

    /// Queues a gap of a room, by the room's policy when the queue is full.
    pub(crate) fn gap(&self, room: &RoomId, at: &Position, reason: GapReason, policy: SlowPolicy) {
        let dropped = self.outbox(|outbox| outbox.gap(room, at, reason, policy));
        self.metrics.drop_frames(dropped);
    }

    /// Queues a frame that nobody asked for and that has no number; none before the welcome, which comes first.
    pub(crate) fn notice(&self, text: &Text) {
        if !self.heart.is_welcomed() {
            return;
        }
        let dropped = self.outbox(|outbox| outbox.notice(text));
        self.metrics.drop_frames(dropped);
    }

    /// Queues an answer, or a sign of life.
    pub(crate) fn push(&self, text: Text) {
        self.outbox(|outbox| outbox.push(text));
    }

    /// Asks the task to end the connection; the first reason stands.
    pub(crate) fn close(&self, close: Close) {
        self.outbox(|outbox| outbox.close(close));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves whole values behind: every change here is one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
