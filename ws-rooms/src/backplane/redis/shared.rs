//! What the handle and the tasks share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::backplane::{Entry, Sink};
use crate::error::Error;
use crate::protocol::{GapReason, Position, RoomId};
use crate::revocation::{Known, Revocation};

use super::away;
use super::connection::Connector;
use super::presence::Attendance;
use super::there::Moved;
use super::up::{Task, Up};

/// What belongs to all of a process's nodes.
pub(super) struct Shared {
    pub(super) connector: Arc<Connector>,
    pub(super) attendance: Arc<Attendance>,
    /// What sinks that are attached later have to be told.
    pub(super) revoked: Known,
    pub(super) up: Up,
    sinks: RwLock<Vec<Sink>>,
    /// Members of this process's nodes, by room.
    members: Mutex<HashMap<RoomId, usize>>,
    /// Rooms whose last member has left since the reader looked.
    left: Mutex<HashSet<RoomId>>,
    /// The set of revocations was read, and what is told of them is heard.
    heeding: watch::Sender<bool>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector: Arc::new(connector),
            attendance: Arc::default(),
            revoked: Known::new(),
            up: Up::new(),
            sinks: RwLock::default(),
            members: Mutex::default(),
            left: Mutex::default(),
            heeding: watch::Sender::new(false),
        }
    }

    /// Takes a node, and tells it what it has missed.
    pub(super) fn attach(&self, sink: &Sink) {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        sinks.retain(|sink| !sink.is_gone());
        sinks.push(sink.clone());
        drop(sinks);
        self.revoked.in_force().iter().for_each(|revocation| sink.revoke(revocation));
    }

    /// One more member of a room.
    pub(super) fn enter(&self, room: &RoomId) {
        *self.members().entry(room.clone()).or_insert(0) += 1;
    }

    /// One less.
    pub(super) fn exit(&self, room: &RoomId) {
        let mut members = self.members();
        if let Some(count) = members.get_mut(room) {
            *count -= 1;
            if *count == 0 {
                members.remove(room);
                self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone());
            }
        }
    }

    /// How many members each room has. Rooms without any are not there.
    pub(super) fn members(&self) -> MutexGuard<'_, HashMap<RoomId, usize>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_left(&self) -> HashSet<RoomId> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn deliver(&self, entry: &Arc<Entry>) {
        self.each(|sink| sink.deliver(entry));
    }

    pub(super) fn gap(&self, room: &RoomId, at: &Position, reason: GapReason) {
        self.each(|sink| sink.gap(room, at, reason));
    }

    pub(super) fn moved(&self, room: &RoomId, moved: &Moved) {
        self.each(|sink| match moved {
            Moved::Joined(user) => sink.joined(room, user),
            Moved::Left(user) => sink.left(room, user),
        });
    }

    pub(super) fn revoke(&self, revocation: &Revocation) {
        if self.revoked.insert(revocation) {
            self.each(|sink| sink.revoke(revocation));
        }
    }

    /// Waits until no revocation is missed.
    pub(super) async fn heeding(&self, until: Instant) -> Result<(), Error> {
        let mut heeding = self.heeding.subscribe();
        match timeout_at(until, heeding.wait_for(|heeding| *heeding)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(away()),
        }
    }

    pub(super) fn is_heeding(&self) -> bool {
        *self.heeding.borrow()
    }

    pub(super) fn set_heeding(&self, heeding: bool) {
        self.up.set(Task::Revocations, heeding);
        self.heeding.send_replace(heeding);
    }

    fn each(&self, tell: impl Fn(&Sink)) {
        self.sinks.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(tell);
    }
}
