//! The backplane of one process: numbers, keeps and passes on.

mod log;
mod recent;
mod total;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use metrics::Gauge;
use tokio::time::Instant;

use crate::backplane::{Driver, Entry, Fanout, Loss, Recovery, RecoveryBounds, Sink};
use crate::config::HistoryConfig;
use crate::error::Error;
use crate::presence::Presence;
use crate::protocol::{GapReason, Member, Position, RoomId};
use crate::revocation::{Known, Revocation};

use self::log::Logs;
use self::total::Total;

/// Publishers of different rooms rarely meet with this many locks, and an empty one is 200 bytes.
const SHARDS: usize = 64;

/// Numbers and history in this process's memory. Clones share both.
///
/// A room that nobody is in and whose history has aged away is forgotten; when it comes back it
/// has a new epoch, so an old position is never taken for a new one.
#[derive(Clone)]
pub struct MemoryBackplane {
    shared: Arc<Shared>,
}

struct Shared {
    shards: Box<[Mutex<Logs>]>,
    total: Arc<Total>,
    hasher: RandomState,
    sinks: RwLock<Vec<Sink>>,
    kept: Gauge,
    presence: Mutex<Presence>,
    revoked: Known,
}

// === impl MemoryBackplane ===

impl MemoryBackplane {
    /// An empty backplane that keeps this much.
    #[must_use]
    pub fn new(history: HistoryConfig) -> Self {
        metrics::describe_gauge!(
            "ws.history.bytes",
            metrics::Unit::Bytes,
            "Events kept in memory for those who come back"
        );
        let total = Arc::new(Total::new(SHARDS, history.total_bytes));
        let history = Arc::new(history);
        let logs = |index| Mutex::new(Logs::new(Arc::clone(&history), Arc::clone(&total), index));
        Self {
            shared: Arc::new(Shared {
                shards: (0..SHARDS).map(logs).collect(),
                total: Arc::clone(&total),
                hasher: RandomState::new(),
                sinks: RwLock::new(Vec::new()),
                kept: metrics::gauge!("ws.history.bytes"),
                presence: Mutex::default(),
                revoked: Known::new(),
            }),
        }
    }

    /// Appends and passes on without waiting for anything.
    pub(crate) fn append(&self, fanout: &Fanout) {
        let publication = Arc::clone(fanout.publication());
        for room in publication.rooms() {
            // ORDER: room's log → node's registry shard → connection's queue. Passing on under
            // the log's lock is what keeps a room's order; nothing below waits.
            let mut logs = self.logs(room);
            if let Some(position) = logs.append(room, &publication) {
                let entry = Arc::new(Entry::new(fanout.clone(), room.clone(), position));
                for sink in self.sinks().iter() {
                    sink.deliver(&entry);
                }
            }
            drop(logs);
            // Until here all rooms together may keep too much, by this one event.
            while let Some(index) = self.shared.total.too_much() {
                self.shard(index).drop_oldest();
            }
        }
    }

    pub(crate) fn recover_now(
        &self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> Recovery {
        self.logs(room).recover(room, since, bounds)
    }

    fn logs(&self, room: &RoomId) -> MutexGuard<'_, Logs> {
        // The remainder is below the number of shards.
        let index = self.shared.hasher.hash_one(room) % SHARDS as u64;
        self.shard(usize::try_from(index).unwrap_or(0))
    }

    /// ORDER: never two at a time.
    fn shard(&self, index: usize) -> MutexGuard<'_, Logs> {
        self.shared.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sinks(&self) -> std::sync::RwLockReadGuard<'_, Vec<Sink>> {
        self.shared.sinks.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those leave whose time has come.
    pub(crate) fn settle(&self) {
        drop(self.settled());
    }

    /// Who is there, after those who are due have left.
    fn settled(&self) -> MutexGuard<'_, Presence> {
        let mut presence = self.shared.presence.lock().unwrap_or_else(PoisonError::into_inner);
        for (room, user) in presence.settle(Instant::now()) {
            for sink in self.sinks().iter() {
                sink.left(&room, &user);
            }
        }
        presence
    }

    pub(crate) fn lose_place_now(&self, loss: Loss) {
        for index in 0..SHARDS {
            let mut logs = self.shard(index);
            let (places, reason) = match loss {
                Loss::NewEpochs => (logs.renumber(), GapReason::Source),
                Loss::Gap(reason) => (logs.places(), reason),
            };
            for (room, position) in places {
                for sink in self.sinks().iter() {
                    sink.gap(&room, &position, reason);
                }
            }
        }
    }
}

impl fmt::Debug for MemoryBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackplane").finish_non_exhaustive()
    }
}

impl Driver for MemoryBackplane {
    fn attach(&self, sink: Sink) {
        let mut sinks = self.shared.sinks.write().unwrap_or_else(PoisonError::into_inner);
        sinks.retain(|sink| !sink.is_gone());
        sinks.push(sink.clone());
        drop(sinks);
        self.shared.revoked.in_force().iter().for_each(|revocation| sink.revoke(revocation));
    }

    async fn publish(&self, fanout: Fanout) -> Result<(), Error> {
        self.append(&fanout);
        Ok(())
    }

    async fn join(&self, room: &RoomId) -> Result<(), Error> {
        self.logs(room).join(room);
        Ok(())
    }

    fn leave(&self, room: &RoomId) {
        self.logs(room).leave(room);
    }

    async fn recover(
        &self,
        room: &RoomId,
        since: Option<&Position>,
        bounds: RecoveryBounds,
    ) -> Result<Recovery, Error> {
        Ok(self.recover_now(room, since, bounds))
    }

    async fn skip(&self, rooms: &[RoomId], id: &str, reason: GapReason) -> Result<(), Error> {
        for room in rooms {
            // ORDER: as in `append`.
            let mut logs = self.logs(room);
            if let Some(position) = logs.skip(room, id) {
                for sink in self.sinks().iter() {
                    sink.gap(room, &position, reason);
                }
            }
        }
        Ok(())
    }

    async fn lose_place(&self, loss: Loss) {
        self.lose_place_now(loss);
    }

    fn enter(&self, room: &RoomId, user: &Arc<str>) {
        let mut presence = self.settled();
        if presence.enter(room, user) {
            // ORDER: as in `append`, or a user could be told to leave before they come.
            for sink in self.sinks().iter() {
                sink.joined(room, user);
            }
        }
    }

    fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration) {
        self.settled().exit(room, user, Instant::now() + after);
    }

    async fn present(&self, room: &RoomId) -> Result<Vec<Member>, Error> {
        Ok(self.settled().members(room))
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), Error> {
        // ORDER: known before it is told, as a sink is there before it is told what is known.
        if self.shared.revoked.insert(revocation) {
            for sink in self.sinks().iter() {
                sink.revoke(revocation);
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge of bytes far below 2^52")]
    fn tidy(&self) {
        self.settle();
        for shard in &self.shared.shards {
            // One that is busy is trimmed by whoever is at it.
            if let Ok(mut logs) = shard.try_lock() {
                logs.trim();
            }
        }
        self.shared.kept.set(self.shared.total.bytes() as f64);
    }
}

#[cfg(test)]
mod tests;
