//! The rooms, and where we stand in each. No IO and no timers: what is to be sent is asked for with [`Book::next`].

mod frames;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::mailbox::Mailbox;
use super::recent::Recent;
use super::update::{GapCause, Told};
use crate::protocol::{Position, Request, RoomId};

/// How long a room stays after its last listener: whoever comes back at once finds it as it was.
const LINGER: Duration = Duration::from_secs(1);

/// Where a room stands between what the application wants and what the server knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// To be subscribed to.
    Due,
    /// The answer is awaited, and holds whatever comes live meanwhile.
    Asked,
    /// It was «not now».
    Later,
    /// Live.
    In,
    /// To be left.
    Leaving,
    /// Neither in nor wanted, kept only for its place.
    Out,
}

#[derive(Debug)]
struct Room {
    listeners: Vec<(u64, Mailbox)>,
    stage: Stage,
    place: Option<Position>,
    /// The server put us there: nothing to subscribe to, nothing to leave.
    given: bool,
    /// Its place was sent along with the question.
    since: bool,
    /// How often it was refused for now; the others do not wait for it.
    refusals: u32,
    /// When the last listener went.
    idle_since: Option<Instant>,
    /// Rooms are asked for in the order in which they were first wanted.
    order: u64,
}

/// Every room that is wanted or was given. Bounded by what the application wants and the server gives: a room that
/// nobody listens to any more goes after [`LINGER`].
#[derive(Debug, Default)]
pub(super) struct Book {
    rooms: HashMap<RoomId, Room>,
    all: Vec<(u64, Mailbox)>,
    recent: Recent,
    counter: u64,
}

// === impl Book: what the application wants ===

impl Book {
    pub(super) fn place(&self, name: &str) -> Option<Position> {
        self.rooms.get(name)?.place.clone()
    }

    /// Listens to every room that one is in, wanted or given. The key is for [`ignore`](Self::ignore).
    pub(super) fn want_all(&mut self, mailbox: Mailbox) -> u64 {
        let key = self.count();
        self.all.push((key, mailbox));
        key
    }

    /// Wants a room. Of one that is live already the listener hears so at once.
    pub(super) fn want(&mut self, name: &RoomId, mailbox: Mailbox, now: Instant) -> u64 {
        // Here too: without a connection nobody else looks.
        self.expire(now);
        let key = self.count();
        let room = self.room(name, Stage::Due);
        room.idle_since = None;
        match room.stage {
            Stage::Out => room.stage = Stage::Due,
            // Nobody has told the server yet.
            Stage::Leaving => room.stage = Stage::In,
            Stage::Due | Stage::Asked | Stage::Later | Stage::In => {}
        }
        if room.stage == Stage::In
            && let Some(place) = &room.place
        {
            mailbox.put(Told::Live { room: name.clone(), place: place.clone() });
        }
        room.listeners.push((key, mailbox));
        key
    }

    /// Listens no longer: to a room, or to all.
    pub(super) fn ignore(&mut self, name: Option<&RoomId>, key: u64, now: Instant) {
        let Some(name) = name else {
            self.all.retain(|(other, _)| *other != key);
            return;
        };
        let Some(room) = self.rooms.get_mut(name) else { return };
        let before = room.listeners.len();
        room.listeners.retain(|(other, _)| *other != key);
        if room.listeners.is_empty() && before > 0 {
            room.idle_since = Some(now);
        }
    }

    /// Leaves the rooms that nobody has listened to for a while.
    pub(super) fn expire(&mut self, now: Instant) {
        self.rooms.retain(|_, room| {
            if room.idle_since.is_none_or(|since| since + LINGER > now) {
                return true;
            }
            match room.stage {
                // Left when the answer is there.
                Stage::Asked => return true,
                _ if room.given => {}
                Stage::In => room.stage = Stage::Leaving,
                // Its answer is awaited, in case somebody wants it again.
                Stage::Leaving | Stage::Out => {}
                Stage::Due | Stage::Later => return false,
            }
            room.idle_since = None;
            true
        });
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn expires(&self) -> Option<Instant> {
        let waiting = self.rooms.values().filter(|room| room.stage != Stage::Asked);
        waiting.filter_map(|room| room.idle_since).min().map(|since| since + LINGER)
    }
}

// === impl Book: what the connection does ===

impl Book {
    /// What is to be sent next, if anything. The caller sends it.
    pub(super) fn next(&mut self) -> Option<(RoomId, Request)> {
        let due = |room: &Room| matches!(room.stage, Stage::Due | Stage::Leaving);
        let first = self.rooms.iter_mut().filter(|(_, room)| due(room)).min_by_key(|(_, room)| room.order);
        let (name, room) = first?;
        let request = if room.stage == Stage::Leaving {
            room.stage = Stage::Out;
            Request::unsubscribe(name.as_str())
        } else {
            room.stage = Stage::Asked;
            room.since = room.place.is_some();
            match &room.place {
                Some(place) => Request::recover(name.as_str(), place.clone()),
                None => Request::subscribe(name.as_str()),
            }
        };
        Some((name.clone(), request))
    }

    /// Whether each room has been answered, if only with «not now».
    pub(super) fn settled(&self) -> bool {
        let open = |room: &Room| matches!(room.stage, Stage::Due | Stage::Asked) && room.refusals == 0;
        !self.rooms.values().any(open)
    }

    /// The connection is gone; places stay.
    pub(super) fn lost(&mut self) {
        self.rooms.retain(|_, room| {
            room.stage = if room.listeners.is_empty() { Stage::Out } else { Stage::Due };
            room.refusals = 0;
            // A room that was wanted until a moment ago.
            room.stage == Stage::Due || room.given
        });
    }

    /// The room cannot be joined just now. What is returned goes to [`again`](Self::again), at a time that is the
    /// caller's affair.
    pub(super) fn postponed(&mut self, name: &RoomId) -> Option<u32> {
        let room = self.rooms.get_mut(name).filter(|room| room.stage == Stage::Asked)?;
        room.stage = Stage::Later;
        room.refusals = room.refusals.saturating_add(1);
        Some(room.refusals)
    }

    /// A room that was postponed is due, if nothing happened to it since.
    pub(super) fn again(&mut self, name: &RoomId, refusals: u32) {
        if let Some(room) = self.rooms.get_mut(name)
            && room.stage == Stage::Later
            && room.refusals == refusals
        {
            room.stage = Stage::Due;
        }
    }

    /// The room cannot be joined, or was taken away.
    pub(super) fn refused(&mut self, name: &str, code: &str, message: &str) {
        let Some((name, room)) = self.rooms.remove_entry(name) else { return };
        let update = |room| Told::Ended { room, code: code.to_owned(), message: message.to_owned() };
        for (_, mailbox) in &room.listeners {
            mailbox.put(update(Some(name.clone())));
            mailbox.end();
        }
        for (_, mailbox) in &self.all {
            mailbox.put(update(Some(name.clone())));
        }
    }

    /// The end: tells everyone, and forgets everything.
    pub(super) fn clear(&mut self, code: &str, message: &str) {
        let update = |room| Told::Ended { room, code: code.to_owned(), message: message.to_owned() };
        for (name, room) in self.rooms.drain() {
            for (_, mailbox) in &room.listeners {
                mailbox.put(update(Some(name.clone())));
                mailbox.end();
            }
        }
        for (_, mailbox) in self.all.drain(..) {
            mailbox.put(update(None));
            mailbox.end();
        }
        self.recent = Recent::default();
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn room(&mut self, name: &RoomId, stage: Stage) -> &mut Room {
        let order = self.count();
        self.rooms.entry(name.clone()).or_insert_with(|| Room {
            listeners: Vec::new(),
            stage,
            place: None,
            given: false,
            since: false,
            refusals: 0,
            idle_since: None,
            order,
        })
    }

    fn heard(&self, room: &Room) -> bool {
        !room.listeners.is_empty() || !self.all.is_empty()
    }

    /// Tells the listeners of a room, and those of all rooms.
    fn hear(&self, name: &RoomId, update: &Told) {
        self.hear_here(name, update);
        for (_, mailbox) in &self.all {
            mailbox.put(update.clone());
        }
    }

    /// Tells the listeners of a room only.
    fn hear_here(&self, name: &RoomId, update: &Told) {
        for (_, mailbox) in self.rooms.get(name).into_iter().flat_map(|room| &room.listeners) {
            mailbox.put(update.clone());
        }
    }

    fn gap(&self, name: &RoomId, cause: GapCause) {
        self.hear(name, &Told::Gap { room: name.clone(), cause });
    }
}
