//! Questions to the server, kept while there is no connection.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::failure;
use crate::error::{Error, ErrorKind};
use crate::protocol::{ErrorFrame, Member, PresenceList, RoomId};

/// Questions that wait, of all askers; beyond it a new one fails with [`ErrorKind::QueueFull`]. Each is some hundred
/// bytes, and at the server's pace the last of them is answered after seven seconds.
const MOST: usize = 100;

/// Who is in a room: what [`Session::presence`](super::Session::presence) answers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Present {
    /// The users, by their ids. Of a room with more than 1,000 the server lists these alone.
    pub members: Vec<Member>,
    /// How many users there are.
    pub total: usize,
}

type Answer = Result<Present, Error>;

/// Who is in a room, asked by one or more. It only reads, so what was not answered is asked again on the next
/// connection.
#[derive(Debug)]
struct Waiting {
    key: u64,
    room: RoomId,
    sent: bool,
    askers: Vec<(u64, oneshot::Sender<Answer>)>,
}

/// In the order of asking; one that is asked again before it was sent is sent once.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: VecDeque<Waiting>,
    askers: usize,
    counter: u64,
}

/// One asker's place.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) key: u64,
    pub(super) answer: oneshot::Receiver<Answer>,
}

// === impl Present ===

impl From<PresenceList> for Present {
    fn from(PresenceList { members, total, .. }: PresenceList) -> Self {
        Self { total: total.unwrap_or(members.len()), members }
    }
}

// === impl Questions ===

impl Questions {
    /// Takes a question; [`forget`](Self::forget) gives it up.
    pub(super) fn ask(&mut self, room: &RoomId) -> Result<Asker, Error> {
        if self.askers >= MOST {
            return Err(Error::new(ErrorKind::QueueFull));
        }
        self.askers += 1;
        self.counter += 1;
        let key = self.counter;
        let (asker, answer) = oneshot::channel();
        let same = self.waiting.iter_mut().find(|other| !other.sent && other.room == *room);
        match same {
            Some(waiting) => waiting.askers.push((key, asker)),
            None => {
                let askers = vec![(key, asker)];
                self.waiting.push_back(Waiting { key, room: room.clone(), sent: false, askers });
            }
        }
        Ok(Asker { key, answer })
    }

    /// This asker waits no longer.
    pub(super) fn forget(&mut self, key: u64) {
        for waiting in &mut self.waiting {
            let before = waiting.askers.len();
            waiting.askers.retain(|(other, _)| *other != key);
            self.askers -= before - waiting.askers.len();
        }
        self.waiting.retain(|waiting| !waiting.askers.is_empty());
    }

    /// What is to be sent next: the room, and the key for [`answered`](Self::answered).
    pub(super) fn next(&mut self) -> Option<(u64, RoomId)> {
        let waiting = self.waiting.iter_mut().find(|waiting| !waiting.sent)?;
        waiting.sent = true;
        Some((waiting.key, waiting.room.clone()))
    }

    /// The connection is gone: what was not answered is asked again, in the same order.
    pub(super) fn lost(&mut self) {
        for waiting in &mut self.waiting {
            waiting.sent = false;
        }
    }

    pub(super) fn answered(&mut self, key: u64, answer: &Result<Present, ErrorFrame>) {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.key == key) else { return };
        let Some(waiting) = self.waiting.remove(at) else { return };
        self.askers -= waiting.askers.len();
        for (_, asker) in waiting.askers {
            // Who has gone meanwhile needs no answer.
            let _ = asker.send(answer.clone().map_err(failure));
        }
    }

    /// Fails whatever waits.
    pub(super) fn clear(&mut self) {
        for waiting in self.waiting.drain(..) {
            for (_, asker) in waiting.askers {
                let _ = asker.send(Err(Error::new(ErrorKind::Closed)));
            }
        }
        self.askers = 0;
    }
}
