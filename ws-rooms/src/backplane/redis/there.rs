//! Whom a node has told its members of.
//!
//! Who comes and goes is said on the room's channel, without numbers. After a subscription was lost, the room's list is
//! compared with what was told. Who is new in it has come. Who is missing may be about to be written again, by a node
//! that has just found a Redis without its users: whoever is missing still a moment later has left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::presence::LINGER;

/// What is held while a list is out. Beyond it another list follows.
const HELD: usize = 1_024;

/// A user who came or left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Moved {
    Joined(String),
    Left(String),
}

/// The users of one room.
#[derive(Debug, Default)]
pub(super) struct There {
    /// `None` until the first list.
    told: Option<HashSet<String>>,
    /// Those of them whom the lists have missed, and since when.
    missed: HashMap<String, Instant>,
    /// What was said while a list is out.
    held: Vec<Moved>,
    /// A list is out.
    asked: bool,
    /// More was said meanwhile than is held.
    overrun: bool,
    /// When the last list came.
    listed: Option<Instant>,
    /// The subscription was lost before the first list: nobody knows what was told.
    lost: bool,
}

// === impl Moved ===

impl Moved {
    /// Reads what a channel says; `None` when it is about something else.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let user = |text: &[u8]| String::from_utf8(text.to_vec()).ok();
        match text {
            [b'J', b' ', rest @ ..] => user(rest).map(Self::Joined),
            [b'L', b' ', rest @ ..] => user(rest).map(Self::Left),
            _ => None,
        }
    }
}

// === impl There ===

impl There {
    /// A list is asked for, the only one.
    pub(super) fn ask(&mut self) {
        self.asked = true;
        self.overrun = false;
        self.held.clear();
    }

    /// The connection is gone, and the list with it.
    pub(super) fn unask(&mut self) {
        self.asked = false;
        self.held = Vec::new();
        // What comes next may be another Redis, which has had no time yet.
        self.missed.clear();
        self.lost = self.told.is_none();
    }

    /// The list does not come.
    pub(super) fn fail(&mut self, tell: &mut Vec<Moved>) {
        self.asked = false;
        for moved in std::mem::take(&mut self.held) {
            self.follow(moved, tell);
        }
    }

    /// Takes what the channel says.
    pub(super) fn said(&mut self, moved: Moved, tell: &mut Vec<Moved>) {
        if !self.asked {
            self.follow(moved, tell);
        } else if self.held.len() < HELD && !self.overrun {
            self.held.push(moved);
        } else {
            self.overrun = true;
            self.held = Vec::new();
        }
    }

    /// Takes the list, and says whether another one must follow. What was said since it was asked for comes after it,
    /// however much of that the list has. Users of this node's own are there, whatever the list says.
    pub(super) fn list(
        &mut self,
        mut users: HashSet<String>,
        own: impl FnOnce() -> HashSet<Arc<str>>,
        now: Instant,
        tell: &mut Vec<Moved>,
    ) -> bool {
        self.asked = false;
        self.listed = Some(now);
        let first = self.told.is_none();
        if let Some(told) = self.told.take() {
            tell.extend(users.difference(&told).cloned().map(Moved::Joined));
            let absent: Vec<String> = told.into_iter().filter(|user| !users.contains(user)).collect();
            let own = if absent.is_empty() { HashSet::new() } else { own() };
            let before = std::mem::take(&mut self.missed);
            for user in absent {
                let since = match before.get(&user) {
                    Some(since) if !own.contains(&*user) => *since,
                    _ => now,
                };
                if now.duration_since(since) >= LINGER {
                    tell.push(Moved::Left(user));
                } else {
                    self.missed.insert(user.clone(), since);
                    users.insert(user);
                }
            }
        } else if std::mem::take(&mut self.lost) {
            // Better twice than never.
            tell.extend(users.iter().cloned().map(Moved::Joined));
        }
        self.told = Some(users);
        for moved in std::mem::take(&mut self.held) {
            let before = tell.len();
            self.follow(moved.clone(), tell);
            if first && tell.len() == before {
                // What was told before the list was not written down, so all that came since is news.
                tell.push(moved);
            }
        }
        std::mem::take(&mut self.overrun)
    }

    /// How old the last list is; `None` while the first or the next is awaited.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.listed.filter(|_| !self.asked).map(|at| now.duration_since(at))
    }

    /// Whether it is time to look whether those are back whom the last list has missed.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.asked && self.missed.values().any(|since| now.duration_since(*since) >= LINGER)
    }

    fn follow(&mut self, moved: Moved, tell: &mut Vec<Moved>) {
        let (Moved::Joined(user) | Moved::Left(user)) = &moved;
        self.missed.remove(user);
        let news = match (&mut self.told, &moved) {
            (None, _) => true,
            (Some(told), Moved::Joined(user)) => told.insert(user.clone()),
            (Some(told), Moved::Left(user)) => told.remove(user),
        };
        if news {
            tell.push(moved);
        }
    }
}

#[cfg(test)]
mod tests;
