//! Who is here, as this process counts, and what of it Redis does not have yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::presence::LINGER;
use crate::protocol::RoomId;

/// Changes in one round trip.
pub(super) const BATCH: usize = 128;

/// A user in a room: what is to be written.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) room: RoomId,
    pub(super) user: Arc<str>,
    pub(super) connections: u32,
    /// How long a leave waits.
    pub(super) after: Duration,
}

/// What this process's nodes count, and what of it Redis has not.
#[derive(Default)]
pub(in super::super) struct Attendance {
    table: Mutex<Table>,
    /// Wakes the keeper.
    pub(super) changed: Notify,
    /// Wakes the reader: rooms show people that did not before.
    pub(in super::super) fresh: Notify,
}

/// Bounded by the connections and the rooms of each.
#[derive(Default)]
struct Table {
    people: HashMap<RoomId, HashMap<Arc<str>, u32>>,
    /// What is to be written, with how long a leave waits.
    dirty: HashMap<(RoomId, Arc<str>), Duration>,
    /// Rooms that have people since the reader looked.
    fresh: HashSet<RoomId>,
}

// === impl Attendance ===

impl Attendance {
    pub(in super::super) fn enter(&self, room: &RoomId, user: &Arc<str>) {
        let mut table = self.lock();
        let fresh = !table.people.contains_key(room) && table.fresh.insert(room.clone());
        let people = table.people.entry(room.clone()).or_default();
        *people.entry(Arc::clone(user)).or_insert(0) += 1;
        table.dirty.insert((room.clone(), Arc::clone(user)), Duration::ZERO);
        drop(table);
        if fresh {
            self.fresh.notify_one();
        }
        self.changed.notify_one();
    }

    pub(in super::super) fn exit(&self, room: &RoomId, user: &Arc<str>, after: Duration) {
        let mut table = self.lock();
        let Some(people) = table.people.get_mut(room) else { return };
        let Some(count) = people.get_mut(user) else { return };
        *count -= 1;
        if *count == 0 {
            people.remove(user);
        }
        if people.is_empty() {
            table.people.remove(room);
        }
        table.dirty.insert((room.clone(), Arc::clone(user)), after);
        drop(table);
        self.changed.notify_one();
    }

    pub(in super::super) fn has(&self, room: &RoomId) -> bool {
        self.lock().people.contains_key(room)
    }

    /// Those of this process's own who are in the room.
    pub(in super::super) fn users(&self, room: &RoomId) -> HashSet<Arc<str>> {
        self.lock().people.get(room).map(|people| people.keys().cloned().collect()).unwrap_or_default()
    }

    pub(in super::super) fn take_fresh(&self) -> HashSet<RoomId> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// How many changes are to be written.
    pub(super) fn dirty(&self) -> usize {
        self.lock().dirty.len()
    }

    /// Rooms that show people of this process.
    pub(super) fn rooms(&self) -> Vec<RoomId> {
        self.lock().people.keys().cloned().collect()
    }

    /// Some of what is to be written.
    pub(super) fn take(&self) -> Vec<Change> {
        let mut table = self.lock();
        let keys: Vec<_> = table.dirty.keys().take(BATCH).cloned().collect();
        let mut take = |key: (RoomId, Arc<str>)| {
            let after = table.dirty.remove(&key)?;
            let (room, user) = key;
            let connections = table.people.get(&room).and_then(|people| people.get(&user)).copied();
            Some(Change { room, user, connections: connections.unwrap_or(0), after })
        };
        keys.into_iter().filter_map(&mut take).collect()
    }

    /// Not written: unless it has changed again since, it is to be written again, in the keeper's next round.
    pub(super) fn give_back(&self, changes: Vec<Change>) {
        let mut table = self.lock();
        for Change { room, user, after, .. } in changes {
            table.dirty.entry((room, user)).or_insert(after);
        }
    }

    /// All is to be written again.
    pub(super) fn dirty_all(&self) {
        let mut table = self.lock();
        let all: Vec<_> = table
            .people
            .iter()
            .flat_map(|(room, people)| people.keys().map(|user| (room.clone(), Arc::clone(user))))
            .collect();
        for key in all {
            table.dirty.entry(key).or_insert(LINGER);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user leaves while their coming is being written, which fails: they leave by the last word, and not by that.
    #[test]
    fn what_is_given_back_does_not_undo_what_came_since() {
        let attendance = Attendance::default();
        let (room, ada): (RoomId, Arc<str>) = (RoomId::parse("a").unwrap(), "ada".into());
        attendance.enter(&room, &ada);
        let coming = attendance.take();
        assert_eq!((coming.len(), coming[0].connections), (1, 1));
        let after = LINGER + Duration::from_secs(5);
        attendance.exit(&room, &ada, after);
        attendance.give_back(coming);
        let leaving = attendance.take();
        assert_eq!((leaving.len(), leaving[0].connections, leaving[0].after), (1, 0, after));
        // Nothing came since: it is to be written again as it was.
        attendance.give_back(leaving);
        let again = attendance.take();
        assert_eq!((again.len(), again[0].connections, again[0].after), (1, 0, after));
        assert_eq!(attendance.dirty(), 0);
    }
}
