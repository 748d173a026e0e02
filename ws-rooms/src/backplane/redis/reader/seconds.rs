//! What the reader looks at each second.

use std::collections::HashSet;

use tokio::time::Instant;

use super::{CHANNELS, Reader};
use crate::backplane::redis::room::{Next, State};
use crate::error::{Error, ErrorKind};
use crate::protocol::RoomId;

impl Reader {
    /// Rooms that everybody has left, and rooms that have been silent.
    pub(super) fn second(&mut self) {
        let now = Instant::now();
        let left: HashSet<RoomId> = self.shared.take_left();
        let members = self.shared.members();
        for name in left {
            // Somebody may be in it again.
            if !members.contains_key(&name)
                && let Some(room) = self.rooms.get_mut(&name)
            {
                room.left = Some(now);
            }
        }
        drop(members);
        let config = &self.shared.connector.config;
        let mut gone = Vec::new();
        for (name, room) in &mut self.rooms {
            if room.left.is_some_and(|left| now.duration_since(left) >= config.linger) {
                gone.push(name.clone());
                continue;
            }
            if room.state == State::Live
                && config.is_check_due(now.duration_since(room.heard))
                && room.doubt(None) == Next::Read
            {
                self.due.push_back(name.clone());
            }
            if room.state != State::Deaf {
                // Who came and went has no numbers that would show what is missing, whatever else is said.
                self.people.compare(config, name, now);
            }
        }
        let members = self.shared.members();
        gone.retain(|name| !members.contains_key(name));
        drop(members);
        for name in &gone {
            self.people.forget(name);
            self.muted.forget(name);
            if let Some(mut room) = self.rooms.remove(name) {
                room.refuse(|| Error::new(ErrorKind::Backplane));
            }
        }
        for names in gone.chunks(CHANNELS) {
            if let Some(session) = &mut self.session {
                session.unsubscribe(&self.shared, names);
            }
        }
        self.due.extend(self.refused.drain());
        for names in self.muted.due(now).chunks(CHANNELS) {
            self.subscribe(names.to_vec());
        }
        self.people.second(now);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        metrics::gauge!("ws.backplane.rooms").set(count(self.rooms.len()));
        metrics::gauge!("ws.backplane.muted").set(count(self.muted.len()));
        metrics::gauge!("ws.backplane.due").set(count(self.due.len()));
    }
}
