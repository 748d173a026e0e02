//! Who is in rooms: connections by user, and leaves that wait a moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::{Member, RoomId};

/// How long a user stays after the last connection: one that breaks comes back within it, and nobody hears of it.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// Users whom one room lists: a room that shows who is there is one that people could know each other in. Beyond it,
/// users come and go unseen, which is counted.
pub(crate) const USERS: usize = 10_000;

/// The users of rooms, as one place counts them.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    rooms: HashMap<RoomId, People>,
    /// Leaves by the time they are due; the number tells those of one moment apart. One counts while its person
    /// still has it.
    dues: BTreeMap<(Instant, u64), (RoomId, Arc<str>)>,
    number: u64,
}

/// Everybody in a room. Those who are not shown are counted too, since any of their connections may go first.
#[derive(Debug, Default)]
struct People {
    all: HashMap<Arc<str>, Person>,
    shown: usize,
}

#[derive(Debug, Default)]
struct Person {
    connections: u32,
    is_shown: bool,
    /// The key of the leave in `dues`, when there is no connection any more.
    leaves: Option<(Instant, u64)>,
}

// === impl Presence ===

impl Presence {
    /// Counts a connection; says whether its user is shown from here on.
    pub(crate) fn enter(&mut self, room: &RoomId, user: &Arc<str>) -> bool {
        let people = self.rooms.entry(room.clone()).or_default();
        let person = people.all.entry(Arc::clone(user)).or_default();
        person.connections += 1;
        if let Some(key) = person.leaves.take() {
            self.dues.remove(&key);
        }
        if person.is_shown {
            return false;
        }
        if people.shown >= USERS {
            metrics::counter!("ws.presence.unseen").increment(1);
            return false;
        }
        person.is_shown = true;
        people.shown += 1;
        true
    }

    /// Takes a connection back. Its user leaves at `due` unless another connection comes before.
    pub(crate) fn exit(&mut self, room: &RoomId, user: &Arc<str>, due: Instant) {
        let person = self.rooms.get_mut(room).and_then(|people| people.all.get_mut(user));
        let Some(person) = person.filter(|person| person.connections > 0) else { return };
        person.connections -= 1;
        if person.connections > 0 {
            return;
        }
        if person.is_shown {
            self.number += 1;
            let key = (due, self.number);
            person.leaves = Some(key);
            self.dues.insert(key, (room.clone(), Arc::clone(user)));
        } else {
            self.forget(room, user);
        }
    }

    /// Those who have left by now.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<(RoomId, Arc<str>)> {
        let mut gone = Vec::new();
        while let Some(first) = self.dues.first_entry()
            && first.key().0 <= now
        {
            let (room, user) = first.remove();
            self.forget(&room, &user);
            gone.push((room, user));
        }
        gone
    }

    /// Who is there, by user id. One who may come back has no connections.
    pub(crate) fn members(&self, room: &RoomId) -> Vec<Member> {
        let people = self.rooms.get(room).into_iter().flat_map(|people| &people.all);
        let member = |(user, person): (&Arc<str>, &Person)| Member {
            user_id: user.to_string(),
            connections: person.connections,
        };
        let mut list: Vec<Member> = people.filter(|(_, person)| person.is_shown).map(member).collect();
        list.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
        list
    }

    fn forget(&mut self, room: &RoomId, user: &Arc<str>) {
        let Some(people) = self.rooms.get_mut(room) else { return };
        if people.all.remove(user).is_some_and(|person| person.is_shown) {
            people.shown -= 1;
        }
        if people.all.is_empty() {
            self.rooms.remove(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(seconds: u64, start: Instant) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn one_who_comes_back_in_time_has_never_left() {
        let (mut presence, start) = (Presence::default(), Instant::now());
        let (room, ada): (RoomId, Arc<str>) = (RoomId::parse("a").unwrap(), "ada".into());
        assert!(presence.enter(&room, &ada));
        assert!(!presence.enter(&room, &ada), "a second connection");
        presence.exit(&room, &ada, step(5, start));
        presence.exit(&room, &ada, step(5, start));
        presence.exit(&room, &ada, step(5, start));
        assert_eq!(presence.members(&room)[0].connections, 0);
        assert!(!presence.enter(&room, &ada), "in time");
        assert!(presence.settle(step(9, start)).is_empty());
        presence.exit(&room, &ada, step(14, start));
        assert!(presence.settle(step(13, start)).is_empty());
        assert_eq!(presence.settle(step(14, start)), [(room.clone(), Arc::clone(&ada))]);
        assert!(presence.members(&room).is_empty() && presence.rooms.is_empty() && presence.dues.is_empty());
        assert!(presence.enter(&room, &ada), "anew");
    }

    #[test]
    fn a_room_lists_so_many_and_no_more() {
        let mut presence = Presence::default();
        let room = RoomId::parse("a").unwrap();
        for number in 0..USERS {
            assert!(presence.enter(&room, &number.to_string().into()));
        }
        let late: Arc<str> = "late".into();
        assert!(!presence.enter(&room, &late));
        presence.exit(&room, &late, Instant::now());
        assert!(presence.dues.is_empty());
        assert_eq!(presence.members(&room).len(), USERS);
        assert_eq!(presence.rooms[&room].all.len(), USERS, "nothing is left of who was not shown");
    }
}
