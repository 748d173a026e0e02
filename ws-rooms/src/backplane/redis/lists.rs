//! Lists of who is in rooms: so many at a time, and one for all who ask about one room.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};
use crate::protocol::{Member, RoomId};

/// Lists that are asked for at once. After a reconnect every room that shows people wants one.
const OUT: usize = 64;
/// Those who wait for a list. Beyond it they are refused.
const ASKERS: usize = 4_096;

/// Where an answer goes, the same for all who asked about the room.
pub(super) type Reply = oneshot::Sender<Result<Arc<[Member]>, Error>>;

/// Rooms whose lists are wanted.
#[derive(Debug, Default)]
pub(super) struct Lists {
    queue: VecDeque<RoomId>,
    rooms: HashMap<RoomId, Wanted>,
    /// Lists that are out.
    out: usize,
    /// All who wait.
    askers: usize,
}

#[derive(Debug, Default)]
struct Wanted {
    is_out: bool,
    /// Another one is wanted, and in the queue unless one is out.
    again: bool,
    /// Whom the list that is out answers.
    now: Vec<Reply>,
    /// Who asked since: what was out by then may not have what they are to see.
    then: Vec<Reply>,
}

// === impl Lists ===

impl Lists {
    /// A list that begins from here on is wanted.
    pub(super) fn want(&mut self, room: &RoomId) {
        let wanted = self.rooms.entry(room.clone()).or_default();
        if !wanted.again {
            wanted.again = true;
            if !wanted.is_out {
                self.queue.push_back(room.clone());
            }
        }
    }

    /// Somebody waits for one.
    pub(super) fn ask(&mut self, room: &RoomId, reply: Reply) {
        if self.askers >= ASKERS {
            self.drop_closed();
        }
        if self.askers >= ASKERS {
            return refuse([reply]);
        }
        self.want(room);
        if let Some(wanted) = self.rooms.get_mut(room) {
            self.askers += 1;
            wanted.then.push(reply);
        }
    }

    /// The next room whose turn it is.
    pub(super) fn next(&mut self) -> Option<RoomId> {
        while self.out < OUT {
            let room = self.queue.pop_front()?;
            // INVARIANT: a room in the queue is wanted, and its list is not out.
            if let Some(wanted) = self.rooms.get_mut(&room) {
                wanted.is_out = true;
                wanted.again = false;
                wanted.now = std::mem::take(&mut wanted.then);
                self.out += 1;
                return Some(room);
            }
        }
        None
    }

    /// The list that was out has come, or none will: whom it answers.
    pub(super) fn take(&mut self, room: &RoomId) -> Vec<Reply> {
        let Some(wanted) = self.rooms.get_mut(room).filter(|wanted| wanted.is_out) else {
            return Vec::new();
        };
        wanted.is_out = false;
        self.out -= 1;
        let replies = std::mem::take(&mut wanted.now);
        self.askers -= replies.len();
        if wanted.again {
            self.queue.push_back(room.clone());
        } else {
            self.rooms.remove(room);
        }
        replies
    }

    /// The connection is gone, and the lists with it: they are asked for on the next one.
    pub(super) fn unask(&mut self) {
        self.out = 0;
        for (room, wanted) in &mut self.rooms {
            if std::mem::take(&mut wanted.is_out) {
                wanted.again = true;
                wanted.then.append(&mut wanted.now);
                self.queue.push_back(room.clone());
            }
        }
    }

    fn drop_closed(&mut self) {
        for wanted in self.rooms.values_mut() {
            wanted.now.retain(|reply| !reply.is_closed());
            wanted.then.retain(|reply| !reply.is_closed());
        }
        self.askers = self.rooms.values().map(|wanted| wanted.now.len() + wanted.then.len()).sum();
    }
}

/// Those who asked hear that it was in vain.
pub(super) fn refuse(replies: impl IntoIterator<Item = Reply>) {
    for reply in replies {
        // Who has given up waiting is not there to hear it.
        drop(reply.send(Err(Error::new(ErrorKind::Backplane))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<Arc<[Member]>, Error>>;

    fn room(number: usize) -> RoomId {
        RoomId::parse(&format!("r{number}")).unwrap()
    }

    fn ask(lists: &mut Lists, number: usize) -> Answer {
        let (reply, answer) = oneshot::channel();
        lists.ask(&room(number), reply);
        answer
    }

    /// After a reconnect every room wants a list: they are asked for in turn, none twice, and none is forgotten.
    #[test]
    fn so_many_are_out_and_no_more() {
        let mut lists = Lists::default();
        for number in (0..200).chain(0..200) {
            lists.want(&room(number));
        }
        let mut done = 0;
        let mut out: VecDeque<RoomId> = std::iter::from_fn(|| lists.next()).collect();
        assert_eq!(out.len(), OUT);
        while let Some(room) = out.pop_front() {
            assert!(lists.take(&room).is_empty());
            done += 1;
            out.extend(lists.next());
            assert!(out.len() <= OUT);
        }
        assert_eq!(done, 200);
        assert!(lists.rooms.is_empty() && lists.out == 0);
    }

    #[test]
    fn those_who_ask_about_one_room_share_a_list_that_began_after_they_asked() {
        let mut lists = Lists::default();
        let _early = [ask(&mut lists, 1), ask(&mut lists, 1)];
        assert_eq!((lists.next(), lists.next()), (Some(room(1)), None));
        let _late = ask(&mut lists, 1);
        assert_eq!(lists.next(), None, "one at a time");
        assert_eq!(lists.take(&room(1)).len(), 2);
        assert_eq!(lists.next(), Some(room(1)));
        assert_eq!(lists.take(&room(1)).len(), 1);
        assert!(lists.take(&room(1)).is_empty());
        assert_eq!((lists.next(), lists.askers), (None, 0));
    }

    #[test]
    fn a_connection_that_breaks_takes_no_list_with_it() {
        let mut lists = Lists::default();
        let _first = ask(&mut lists, 1);
        assert_eq!(lists.next(), Some(room(1)));
        let _second = ask(&mut lists, 1);
        lists.unask();
        assert!(lists.take(&room(1)).is_empty(), "an answer that the old connection owes");
        assert_eq!((lists.next(), lists.next()), (Some(room(1)), None));
        assert_eq!(lists.take(&room(1)).len(), 2);
    }

    #[test]
    fn beyond_the_bound_they_are_refused() {
        let mut lists = Lists::default();
        let mut answers: Vec<Answer> = (0..ASKERS).map(|number| ask(&mut lists, number % 8)).collect();
        assert!(ask(&mut lists, 1).try_recv().unwrap().is_err());
        // Those who have given up are no load.
        answers.truncate(1);
        assert!(ask(&mut lists, 1).try_recv().is_err(), "it waits");
        assert_eq!(lists.askers, 2);
    }
}
