//! Who is in this node's rooms, as its members have been told, and whoever asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::protocol::{Member, RoomId};

use super::Shared;
use super::config::RedisConfig;
use super::lists::{Lists, Reply, refuse};
use super::there::{Moved, There};

/// Rooms of this node that show who is there. They go with their room.
#[derive(Debug, Default)]
pub(super) struct People {
    there: HashMap<RoomId, There>,
    lists: Lists,
    /// Rooms whose list was refused: they have a pause.
    refused: HashSet<RoomId>,
}

// === impl People ===

impl People {
    /// Somebody asks who is in a room.
    pub(super) fn ask(&mut self, name: &RoomId, reply: Reply) {
        self.lists.ask(name, reply);
    }

    /// A room of this node shows people now.
    pub(super) fn fresh(&mut self, name: &RoomId, is_deaf: bool) {
        let there = self.there.entry(name.clone()).or_default();
        if is_deaf {
            // It asks once it is subscribed.
            there.unask();
        } else {
            self.lists.want(name);
        }
    }

    /// The subscription stands: what was said before it is to be found out.
    pub(super) fn subscribed(&mut self, shared: &Shared, name: &RoomId) {
        if self.there.contains_key(name) || shared.attendance.has(name) {
            self.there.entry(name.clone()).or_default();
            self.lists.want(name);
        }
    }

    /// Something that was said may have been lost.
    pub(super) fn doubt(&mut self, name: &RoomId) {
        if self.there.contains_key(name) {
            self.lists.want(name);
        }
    }

    /// The room is heard: its list is compared when it is time, however much is said there.
    pub(super) fn compare(&mut self, config: &RedisConfig, name: &RoomId, now: Instant) {
        let age = self.there.get(name).and_then(|there| there.age(now));
        if age.is_some_and(|age| config.is_check_due(age)) {
            self.lists.want(name);
        }
    }

    /// Takes what the channel of a room of this node says.
    pub(super) fn said(&mut self, shared: &Shared, name: &RoomId, moved: Moved) {
        let mut tell = Vec::new();
        self.there.entry(name.clone()).or_default().said(moved, &mut tell);
        say(shared, name, &tell);
    }

    /// The next list to ask for.
    pub(super) fn next(&mut self) -> Option<RoomId> {
        let name = self.lists.next()?;
        if let Some(there) = self.there.get_mut(&name) {
            there.ask();
        }
        Some(name)
    }

    /// Takes a list: for who asked, and for what is new in it.
    pub(super) fn listed(&mut self, shared: &Shared, name: &RoomId, members: Vec<Member>) {
        let members: Arc<[Member]> = members.into();
        for reply in self.lists.take(name) {
            // Who has given up waiting is not there to hear it.
            drop(reply.send(Ok(Arc::clone(&members))));
        }
        let Some(there) = self.there.get_mut(name) else { return };
        let users = members.iter().map(|member| member.user_id.clone()).collect();
        let mut tell = Vec::new();
        let again = there.list(users, || shared.attendance.users(name), Instant::now(), &mut tell);
        say(shared, name, &tell);
        if again {
            self.lists.want(name);
        }
    }

    /// A list does not come: who asked hears so, and what is new is found out a little later.
    pub(super) fn failed(&mut self, shared: &Shared, name: &RoomId) {
        refuse(self.lists.take(name));
        if let Some(there) = self.there.get_mut(name) {
            let mut tell = Vec::new();
            there.fail(&mut tell);
            say(shared, name, &tell);
            self.refused.insert(name.clone());
        }
    }

    /// The connection is gone.
    pub(super) fn unask(&mut self) {
        self.lists.unask();
        self.there.values_mut().for_each(There::unask);
    }

    /// Nobody of this node is in the room any more.
    pub(super) fn forget(&mut self, name: &RoomId) {
        self.there.remove(name);
        self.refused.remove(name);
    }

    /// Whether nothing is known and nothing is asked.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.there.is_empty() && self.refused.is_empty()
    }

    /// Asks again for lists that were refused, or have missed somebody a moment ago.
    pub(super) fn second(&mut self, now: Instant) {
        for name in self.refused.drain() {
            self.lists.want(&name);
        }
        for (name, there) in &self.there {
            if there.is_due(now) {
                self.lists.want(name);
            }
        }
    }
}

/// Tells the members.
fn say(shared: &Shared, name: &RoomId, tell: &[Moved]) {
    for moved in tell {
        shared.moved(name, moved);
    }
}
