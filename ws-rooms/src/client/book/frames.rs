//! What comes from the server, and what it does to the places.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::super::recent::Elsewhere;
use super::super::update::{GapCause, Told};
use super::{Book, Stage};
use crate::protocol::{Gap, Moved, Numbered, Position, RoomId, RoomPosition, Subscribed};

impl Book {
    /// The rooms of a `welcome`: these, and no others.
    pub(crate) fn welcome(&mut self, places: &[RoomPosition]) {
        let names: HashSet<_> = places.iter().map(|place| &place.room).collect();
        self.rooms.retain(|name, room| {
            room.given &= names.contains(name);
            names.contains(name) || !room.listeners.is_empty()
        });
        self.given(places);
    }

    /// Rooms that the server put us into, or has put us into already: their places now.
    pub(crate) fn given(&mut self, places: &[RoomPosition]) {
        for RoomPosition { room: name, epoch, offset, .. } in places {
            let now = Position::new(epoch.as_str(), *offset);
            let listened_to_all = !self.all.is_empty();
            let room = self.room(name, Stage::Out);
            room.given = true;
            // Its answer will say what was missed.
            if room.stage == Stage::Asked {
                continue;
            }
            let behind = room.place.as_ref().is_some_and(|place| *place != now);
            if behind && (listened_to_all || !room.listeners.is_empty()) {
                room.stage = Stage::Due;
                continue;
            }
            room.place = Some(now);
            if room.stage != Stage::In {
                self.live(name);
            }
        }
    }

    /// The answer to a `subscribe`.
    pub(crate) fn subscribed(&mut self, frame: Subscribed) {
        let Some(room) = self.rooms.get_mut(&frame.room).filter(|room| room.stage == Stage::Asked) else {
            return;
        };
        let name = frame.room;
        let recovered = frame.recovered == Some(true);
        let mut missed = None;
        if room.since && !recovered {
            missed = Some(frame.reason.map_or(GapCause::Trimmed, GapCause::from));
        }
        let mut at = room.place.take().map(|place| place.offset);
        for entry in frame.events {
            if at.is_some_and(|at| entry.offset <= at) {
                continue;
            }
            // Whole or not at all is the server's promise; one that it breaks is not ours to hide.
            if at.is_some_and(|at| entry.offset != at + 1) {
                missed = missed.or(Some(GapCause::Hole));
            }
            at = Some(entry.offset);
            self.tell(&name, entry.offset, Arc::new(entry.event));
        }
        if recovered && at != Some(frame.offset) {
            missed = missed.or(Some(GapCause::Hole));
        }
        if let Some(room) = self.rooms.get_mut(&name) {
            room.place = Some(Position::new(frame.epoch, frame.offset));
            room.refusals = 0;
        }
        if let Some(cause) = missed {
            self.gap(&name, cause);
        }
        self.live(&name);
    }

    /// It cannot be left just now. Whether there is still something to leave; then [`leave_again`](Self::leave_again).
    pub(crate) fn left_later(&self, name: &RoomId) -> bool {
        self.rooms.get(name).is_some_and(|room| room.stage == Stage::Out && !room.given)
    }

    /// The room whose leaving was postponed is due, if nobody has wanted it since.
    pub(crate) fn leave_again(&mut self, name: &RoomId) {
        if let Some(room) = self.rooms.get_mut(name)
            && room.stage == Stage::Out
            && !room.given
        {
            room.stage = Stage::Leaving;
        }
    }

    /// Left by our own wish.
    pub(crate) fn unsubscribed(&mut self, name: &str) {
        if self.rooms.get(name).is_some_and(|room| room.stage == Stage::Out) {
            self.rooms.remove(name);
        }
    }

    pub(crate) fn event(&mut self, frame: Numbered) {
        let event = Arc::new(frame.event);
        if self.advance(&frame.room, frame.offset) {
            self.tell(&frame.room, frame.offset, event);
        } else {
            // Another room may name it before the answer brings it here.
            self.recent.keep(&event);
        }
    }

    pub(crate) fn position(&mut self, frame: &Moved) {
        let Moved { room, offset, id, .. } = frame;
        if !self.advance(room, *offset) {
            return;
        }
        match self.recent.position(room, id) {
            Elsewhere::Heard => {}
            Elsewhere::Here(event) => self.tell(room, *offset, event),
            Elsewhere::Unknown => self.gap(room, GapCause::Elsewhere),
        }
    }

    pub(crate) fn dropped(&mut self, frame: &Gap) {
        let Some(room) = self.rooms.get_mut(&frame.room) else { return };
        // While an answer is awaited the place is what was asked from.
        if room.stage == Stage::In {
            room.place = Some(Position::new(frame.epoch.as_str(), frame.offset));
        }
        self.gap(&frame.room, frame.reason.into());
    }

    pub(crate) fn moved(&self, room: RoomId, user_id: String, came: bool) {
        if !self.rooms.contains_key(&room) {
            return;
        }
        let name = room.clone();
        let update = if came { Told::Joined { room, user_id } } else { Told::Left { room, user_id } };
        self.hear(&name, &update);
    }

    /// Moves a live room's place to the next number; whether the number is new.
    fn advance(&mut self, name: &RoomId, offset: u64) -> bool {
        let Some(room) = self.rooms.get(name) else { return false };
        let heard = self.heard(room);
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.stage == Stage::In) else {
            return false;
        };
        let Some(place) = room.place.as_mut().filter(|place| offset > place.offset) else { return false };
        if offset != place.offset + 1 && heard {
            // A number is missing, which the server says cannot be: ask for it instead of going on.
            room.stage = Stage::Due;
            return false;
        }
        place.offset = offset;
        true
    }

    fn tell(&mut self, name: &RoomId, offset: u64, event: Arc<Value>) {
        let news = self.recent.event(name, &event);
        if !news.here {
            return;
        }
        let update = Told::Event { room: name.clone(), offset, event };
        if news.anywhere {
            self.hear(name, &update);
        } else {
            self.hear_here(name, &update);
        }
    }

    fn live(&mut self, name: &RoomId) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.stage = Stage::In;
        if let Some(place) = room.place.clone() {
            self.hear(name, &Told::Live { room: name.clone(), place });
        }
    }
}
