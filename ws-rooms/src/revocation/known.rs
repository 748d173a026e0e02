//! The revocations in memory, asked at each admission, renewal and join.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Gauge};
use tokio::time::Instant;

use crate::auth::{Access, Identity};
use crate::protocol::RoomId;
use crate::revocation::{Ended, Revocation, Scope, Who};

/// Revocations that are remembered. Far more than end sessions within a token's life, and some 20 MiB.
const CAPACITY: usize = 100_000;
/// How often those that are over are dropped: until then they cost memory alone.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Timers are made of it, and no token lives as long.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Revocations until their ends.
pub(crate) struct Known {
    state: Mutex<State>,
    capacity: usize,
    gauge: Gauge,
    overflows: Counter,
}

#[derive(Default)]
struct State {
    /// One for each scope and what it does: who was sent away for good may have another role later.
    entries: HashMap<(Scope, Ended), Entry>,
    /// How many are about a room: without any, joins need not ask.
    of_rooms: usize,
    /// Stands for those that there was no place for.
    floor: Option<Floor>,
    sweep_at: Option<Instant>,
}

struct Entry {
    revocation: Revocation,
    /// The wall clock is read once; from here on time is monotonic.
    ends: Instant,
}

/// Tokens issued until then count as ended, since revocations of them may have been dropped.
struct Floor {
    at: Timestamp,
    ends: Instant,
}

// === impl Known ===

impl Known {
    pub(crate) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        metrics::describe_gauge!("ws.revocations", "Revocations that are remembered until their tokens' end");
        metrics::describe_counter!(
            "ws.revocations.overflows",
            "Times that there were too many of them, and every older token counted as ended"
        );
        Self {
            state: Mutex::default(),
            capacity,
            gauge: metrics::gauge!("ws.revocations"),
            overflows: metrics::counter!("ws.revocations.overflows"),
        }
    }

    /// Takes a revocation into force; says whether it is news.
    pub(crate) fn insert(&self, revocation: &Revocation) -> bool {
        let now = Instant::now();
        let left = Duration::try_from(revocation.until.duration_since(Timestamp::now())).unwrap_or_default();
        let ends = now + left.min(LONGEST);
        let mut state = self.lock();
        if let Some(known) = state.entries.get(&key(revocation))
            && known.revocation.at >= revocation.at
            && known.revocation.until >= revocation.until
        {
            return false;
        }
        if ends <= now {
            // About those who are there alone.
            return true;
        }
        let full = state.entries.len() >= self.capacity;
        if full || state.sweep_at.is_none_or(|at| at <= now) {
            state.drop_ended(now);
            state.sweep_at = Some(now + SWEEP_EVERY);
        }
        if state.entries.len() >= self.capacity {
            tracing::warn!(
                capacity = self.capacity,
                "too many revocations: every token issued until now counts as ended"
            );
            self.overflows.increment(1);
            state.raise_floor();
        }
        state.insert(revocation, ends);
        self.gauge.set(u32::try_from(state.entries.len()).unwrap_or(u32::MAX));
        true
    }

    /// Whether all of a token's rights have ended.
    pub(crate) fn of(&self, identity: &Identity) -> Option<Ended> {
        let (now, state) = (Instant::now(), self.lock());
        let (session, user) =
            (Who::Session(identity.session_id.clone()), Who::User(identity.user_id.clone()));
        let ended = state.find(session, None, identity, now).max(state.find(user, None, identity, now));
        ended.or_else(|| state.is_below_floor(identity, now).then_some(Ended::Renewable))
    }

    /// Whether a token's right to this room stands, as far as is known here. Below the floor nobody knows.
    pub(crate) fn in_room(&self, identity: &Identity, room: &RoomId) -> Access {
        let (now, state) = (Instant::now(), self.lock());
        if state.is_below_floor(identity, now) {
            return Access::Unavailable;
        }
        if state.of_rooms == 0 {
            return Access::Allowed;
        }
        let session = Who::Session(identity.session_id.clone());
        let user = Who::User(identity.user_id.clone());
        let revoked = |who: Who| state.find(who, Some(room), identity, now).is_some();
        if [Who::Everybody, session, user].into_iter().any(revoked) {
            Access::Forbidden
        } else {
            Access::Allowed
        }
    }

    /// Those that are not over.
    pub(crate) fn in_force(&self) -> Vec<Revocation> {
        let now = Instant::now();
        let state = self.lock();
        let entries = state.entries.values().filter(|entry| entry.ends > now);
        entries.map(|entry| entry.revocation.clone()).collect()
    }

    /// How many are not over.
    #[cfg(feature = "redis")]
    pub(crate) fn count(&self) -> usize {
        let now = Instant::now();
        self.lock().entries.values().filter(|entry| entry.ends > now).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn find(&self, who: Who, room: Option<&RoomId>, identity: &Identity, now: Instant) -> Option<Ended> {
        if self.entries.is_empty() {
            return None;
        }
        let mut key = (Scope { who, room: room.cloned() }, Ended::ForGood);
        for ended in [Ended::ForGood, Ended::Renewable] {
            key.1 = ended;
            let entry = self.entries.get(&key);
            if entry.is_some_and(|entry| entry.ends > now && entry.revocation.concerns(identity)) {
                return Some(ended);
            }
        }
        None
    }

    /// Of two about the same the later one counts, and neither ends before it would have.
    fn insert(&mut self, revocation: &Revocation, ends: Instant) {
        let of_room = usize::from(revocation.scope.room.is_some());
        let entry = self.entries.entry(key(revocation)).or_insert_with(|| {
            self.of_rooms += of_room;
            Entry { revocation: revocation.clone(), ends }
        });
        let until = entry.revocation.until.max(revocation.until);
        if entry.revocation.at < revocation.at {
            entry.revocation = revocation.clone();
        }
        entry.revocation.until = until;
        entry.ends = entry.ends.max(ends);
    }

    fn is_below_floor(&self, identity: &Identity, now: Instant) -> bool {
        let floor = self.floor.as_ref().filter(|floor| floor.ends > now);
        floor.is_some_and(|floor| identity.issued_at.is_none_or(|issued| issued <= floor.at))
    }

    /// Drops all for a floor: it is about everybody, and by this host's clock, those too that were about sessions or told
    /// a later time. A floor ahead of the clock would refuse the tokens of renewals, too.
    fn raise_floor(&mut self) {
        let ends =
            self.entries.values().map(|entry| entry.ends).chain(self.floor.iter().map(|floor| floor.ends));
        let Some(ends) = ends.max() else { return };
        *self = Self {
            floor: Some(Floor { at: Timestamp::now(), ends }),
            sweep_at: self.sweep_at,
            ..Self::default()
        };
    }

    fn drop_ended(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.ends > now);
        self.of_rooms = self.entries.keys().filter(|(scope, _)| scope.room.is_some()).count();
        self.floor.take_if(|floor| floor.ends <= now);
    }
}

fn key(revocation: &Revocation) -> (Scope, Ended) {
    (revocation.scope.clone(), revocation.ended())
}

#[cfg(test)]
mod tests;
