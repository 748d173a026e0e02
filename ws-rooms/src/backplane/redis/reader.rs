//! The task that listens: it subscribes to the rooms of its nodes, passes on what follows, and fills what is missing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ::redis::{RedisError, RedisResult};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::backplane::{Entry, Fanout, Missed, Recovery};
use crate::error::{Error, ErrorKind};
use crate::protocol::{GapReason, NotRecovered, RoomId};

use super::Shared;
use super::feed::{Dropped, Said};
use super::lists::Reply;
use super::people::People;
use super::reach::Reach;
use super::recoveries::{Recover, Recoveries};
use super::room::{Next, Room, State, Told, Waiting};
use super::scripts::{self, Answer};
use super::session::{Done, Session, connect};
use super::there::Moved;
use super::wire;

/// Histories that are read at once.
const READS: usize = 64;
/// Channels in one round trip of subscribing.
const CHANNELS: usize = 256;
pub(super) struct Reader {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    rooms: HashMap<RoomId, Room>,
    /// Rooms whose reading waits for its turn.
    due: VecDeque<RoomId>,
    /// Rooms whose reading was refused: they have a pause.
    refused: HashSet<RoomId>,
    recoveries: Recoveries,
    people: People,
    session: Option<Session>,
}

/// What is asked of the reader.
pub(super) enum Command {
    /// Be there: answered once the room is live.
    Join(RoomId, oneshot::Sender<Result<(), Error>>),
    Recover(Recover),
    /// Who is in the room.
    Present(RoomId, Reply),
    /// The source was lost: read every room again. The sender is dropped when that is done.
    Doubt(GapReason, mpsc::Sender<()>),
    /// Tell the members of every room of a gap.
    Gap(GapReason, oneshot::Sender<()>),
}

enum Heard {
    Command(Option<Command>),
    Said(Option<Said>),
    Dropped(Dropped),
    Done(Done),
    Fresh,
    Second,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            shared,
            commands,
            rooms: HashMap::new(),
            due: VecDeque::new(),
            refused: HashSet::new(),
            recoveries: Recoveries::default(),
            people: People::default(),
            session: None,
        }
    }

    /// Listens until nobody can ask any more.
    pub(super) async fn run(mut self) {
        // A second, or less where patience is short.
        let mut seconds = interval((self.shared.connector.config.patience / 2).min(Duration::from_secs(1)));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut attempt = 0;
        let mut connecting = connect(&self.shared, None);
        let mut renewed = Instant::now();
        loop {
            let heard = match &mut self.session {
                None => tokio::select! {
                    command = self.commands.recv() => Heard::Command(command),
                    _ = seconds.tick() => Heard::Second,
                    session = &mut connecting => {
                        match session {
                            Ok(session) => {
                                attempt = 0;
                                self.open(session);
                            }
                            Err(error) => {
                                if attempt == 0 {
                                    tracing::warn!(error = &error as &dyn std::error::Error, "no Redis");
                                }
                                connecting = connect(&self.shared, Some(attempt));
                                attempt += 1;
                            }
                        }
                        continue;
                    }
                },
                Some(session) => {
                    let overrun = session.feed.overrun();
                    let fresh = self.shared.attendance.fresh.notified();
                    tokio::select! {
                        command = self.commands.recv() => Heard::Command(command),
                        said = session.feed.next() => Heard::Said(said),
                        () = fresh => Heard::Fresh,
                        dropped = overrun => Heard::Dropped(dropped),
                        Some(done) = session.work.next() => Heard::Done(done),
                        _ = seconds.tick() => Heard::Second,
                    }
                }
            };
            let alive = match heard {
                Heard::Command(None) => return,
                Heard::Command(Some(command)) => {
                    self.obey(command);
                    true
                }
                Heard::Said(None) => false,
                Heard::Said(Some(said)) => {
                    self.take(said);
                    true
                }
                Heard::Dropped(dropped) => {
                    self.reread(&dropped);
                    true
                }
                Heard::Done(done) => self.done(done),
                Heard::Fresh => {
                    self.list_fresh();
                    true
                }
                Heard::Second => {
                    if renewed.elapsed() >= self.shared.connector.renew_every()
                        && let Some(session) = &mut self.session
                    {
                        renewed = Instant::now();
                        session.renew(&self.shared);
                    }
                    self.second();
                    true
                }
            };
            if alive {
                self.pump();
            } else if self.session.take().is_some() {
                self.deafen();
                connecting = connect(&self.shared, Some(0));
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(name, reply) => {
                let new = !self.rooms.contains_key(&name);
                let room = self.rooms.entry(name.clone()).or_insert_with(|| Room::new(Instant::now()));
                // Whoever asked may have given up and left before it is heard here.
                room.left = (!self.shared.has_members(&name)).then(Instant::now);
                let next = room.wait(Waiting::Join(reply));
                self.after(&name, next);
                if new && let Some(session) = &mut self.session {
                    session.subscribe(&self.shared, vec![name]);
                }
            }
            Command::Recover(recover) => self.recoveries.ask(recover),
            Command::Present(name, reply) => self.people.ask(&name, reply),
            Command::Doubt(why, watch) => {
                for (name, room) in &mut self.rooms {
                    if room.doubt(Some(why)) == Next::Read {
                        self.due.push_back(name.clone());
                    }
                    // It is not live now, so nothing is to be read for this.
                    let _ = room.wait(Waiting::Watch(watch.clone()));
                }
            }
            Command::Gap(reason, reply) => {
                for (name, room) in &self.rooms {
                    if let Some(last) = &room.last {
                        self.shared.gap(name, last, reason);
                    }
                }
                let _ = reply.send(());
            }
        }
    }

    fn open(&mut self, session: Session) {
        let names: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for names in names.chunks(CHANNELS) {
            session.subscribe(&self.shared, names.to_vec());
        }
        self.session = Some(session);
        self.shared.set_up(true);
        self.pump();
    }

    fn deafen(&mut self) {
        metrics::counter!("ws.backplane.failures", "task" => "reader").increment(1);
        tracing::warn!(rooms = self.rooms.len(), "Redis is away: rooms are filled when it is back");
        self.shared.set_up(false);
        self.due.clear();
        self.refused.clear();
        self.rooms.values_mut().for_each(Room::deafen);
        self.recoveries.unask();
        self.people.unask();
    }

    fn take(&mut self, said: Said) {
        let prefix = &self.shared.connector.config.prefix;
        let Some(name) = scripts::room_of(prefix, &said.channel) else { return };
        let Some(room) = self.rooms.get_mut(name) else { return };
        if let Some(moved) = Moved::read(&said.text) {
            let Ok(name) = RoomId::parse(name) else { return };
            return self.people.said(&self.shared, &name, moved);
        }
        let mut told = Vec::new();
        let next = room.said(said.text, Instant::now(), &mut told);
        let Ok(name) = RoomId::parse(name) else { return };
        self.tell(&name, told);
        self.after(&name, next);
    }

    fn reread(&mut self, dropped: &Dropped) {
        let shared = Arc::clone(&self.shared);
        let prefix = &shared.connector.config.prefix;
        let names: Vec<RoomId> = match dropped {
            Dropped::Any => self.rooms.keys().cloned().collect(),
            Dropped::These(channels) => {
                let names = channels.iter().filter_map(|channel| scripts::room_of(prefix, channel));
                names.filter_map(|name| RoomId::parse(name).ok()).collect()
            }
        };
        for name in names {
            if let Some(room) = self.rooms.get_mut(&name) {
                let next = room.doubt(None);
                self.after(&name, next);
                // Who came and went was said on the same channel.
                self.people.doubt(&name);
            }
        }
    }

    /// Says whether the session goes on.
    fn done(&mut self, done: Done) -> bool {
        let result = match done {
            Done::Renewed(result) | Done::Unsubscribed(result) => result,
            Done::Subscribed(names, result) => result.map(|()| self.subscribed(names)),
            Done::Read(name, result) => {
                if let Some(session) = &mut self.session {
                    session.reads -= 1;
                }
                let filled = result.map(|answer| self.filled(&name, answer));
                filled.or_else(|error| self.pardon(error, &name).map(|reach| self.unread(name, reach)))
            }
            Done::Recovered(ticket, result) => {
                let recovered = result.map(|answer| self.recovered(ticket, answer));
                recovered.or_else(|error| self.unrecovered(ticket, error))
            }
            Done::Listed(name, result) => {
                let listed = result.map(|members| self.people.listed(&self.shared, &name, members));
                listed.or_else(|error| {
                    self.pardon(error, &name).map(|_| self.people.failed(&self.shared, &name))
                })
            }
        };
        if let Err(error) = &result {
            tracing::warn!(error = error as &dyn std::error::Error, "Redis did not answer the rooms");
        }
        result.is_ok()
    }

    /// A failure that is one room's own ends nobody else's session.
    fn pardon(&self, error: RedisError, room: &RoomId) -> RedisResult<Reach> {
        let reach = Reach::of(&error);
        if reach == Reach::Connection {
            return Err(error);
        }
        metrics::counter!("ws.backplane.refused").increment(1);
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, room = room.as_str(), "Redis did not answer a room");
        Ok(reach)
    }

    /// One that is refused or late is answered so; one whose connection is gone is asked for again on the next.
    fn unrecovered(&mut self, ticket: u64, error: RedisError) -> RedisResult<()> {
        if Reach::of(&error) == Reach::Connection {
            return Err(error);
        }
        if let Some(recover) = self.recoveries.take(ticket) {
            drop(recover.reply.send(Err(Error::with(ErrorKind::Backplane, error))));
        }
        Ok(())
    }

    fn subscribed(&mut self, names: Vec<RoomId>) {
        for name in names {
            if let Some(room) = self.rooms.get_mut(&name) {
                let next = room.subscribed();
                self.after(&name, next);
                self.people.subscribed(&self.shared, &name);
            }
        }
    }

    /// Rooms that show people now.
    fn list_fresh(&mut self) {
        for name in self.shared.attendance.take_fresh() {
            if let Some(room) = self.rooms.get(&name) {
                self.people.fresh(&name, room.state == State::Deaf);
            }
        }
    }

    /// A reading brought nothing. One that was late is repeated, one that was refused has a pause.
    fn unread(&mut self, name: RoomId, reach: Reach) {
        let Some(room) = self.rooms.get_mut(&name) else { return };
        let next = room.fail();
        if reach == Reach::Answer {
            self.after(&name, next);
        } else {
            room.refuse(|| Error::new(ErrorKind::Backplane));
            self.refused.insert(name);
        }
    }

    fn filled(&mut self, name: &RoomId, answer: Answer) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Answer::Read { at, missed } = answer else { return };
        let mut told = Vec::new();
        let next = room.read(at, missed, Instant::now(), &mut told);
        metrics::counter!("ws.backplane.filled").increment(told.len() as u64);
        self.tell(name, told);
        if let Some(room) = self.rooms.get_mut(name) {
            room.answer();
        }
        self.after(name, next);
    }

    fn recovered(&mut self, ticket: u64, answer: Answer) {
        let Some(Recover { room: name, reply, .. }) = self.recoveries.take(ticket) else { return };
        let Answer::Read { at, missed } = answer else { return };
        let first = at.offset + 1;
        let missed = missed.map(|missed| {
            missed.and_then(|bodies| {
                let first = first - bodies.len() as u64;
                // One that cannot be read is none of ours, and nobody recovers across it.
                bodies
                    .iter()
                    .zip(first..)
                    .map(|(body, offset)| {
                        let publication = wire::read_body(body).ok_or(NotRecovered::Trimmed)?;
                        Ok(Missed::new(offset, publication))
                    })
                    .collect()
            })
        });
        let waiting = Waiting::Recover(Recovery::new(at, missed), reply);
        match self.rooms.get_mut(&name) {
            Some(room) => {
                let next = room.wait(waiting);
                self.after(&name, next);
            }
            // Nobody here is in the room, so nobody is told anything that the answer could overtake.
            None => waiting.answer(),
        }
    }

    /// Gives the nodes what the members are to be told.
    fn tell(&self, name: &RoomId, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Entry(at, publication) => {
                    let fanout = Fanout::new(publication);
                    self.shared.deliver(&Arc::new(Entry::new(fanout, name.clone(), at)));
                }
                Told::Gap(at, reason) => {
                    metrics::counter!("ws.backplane.gaps").increment(1);
                    self.shared.gap(name, &at, reason);
                }
            }
        }
    }

    fn after(&mut self, name: &RoomId, next: Next) {
        if next == Next::Read {
            self.due.push_back(name.clone());
        }
    }

    /// Starts what is due and what waits, as much as may be out.
    fn pump(&mut self) {
        let Some(session) = &mut self.session else { return };
        while session.reads < READS
            && let Some(name) = self.due.pop_front()
        {
            if let Some(room) = self.rooms.get_mut(&name)
                && let Some((since, reason)) = room.begin()
            {
                session.read(&self.shared, name, since, reason);
            }
        }
        while let Some((ticket, recover)) = self.recoveries.next() {
            session.recover(&self.shared, ticket, recover);
        }
        while let Some(name) = self.people.next() {
            session.list(&self.shared, name);
        }
    }

    /// Rooms that everybody has left, and rooms that have been silent.
    fn second(&mut self) {
        let now = Instant::now();
        let left: HashSet<RoomId> = self.shared.take_left();
        let members = self.shared.members.lock().unwrap_or_else(PoisonError::into_inner);
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
        let (linger, check) = (config.linger, config.check_every);
        let mut gone = Vec::new();
        for (name, room) in &mut self.rooms {
            if room.left.is_some_and(|left| now.duration_since(left) >= linger) {
                gone.push(name.clone());
                continue;
            }
            let silence = now.duration_since(room.heard);
            // A fifth of those that are due, so that rooms that fell silent together do not stay together.
            let chosen = silence >= 2 * check || (silence >= check && rand::random_ratio(1, 5));
            if chosen && room.state == State::Live && room.doubt(None) == Next::Read {
                self.due.push_back(name.clone());
                // Who came and went has no numbers that would show what is missing.
                self.people.doubt(name);
            }
        }
        let members = self.shared.members.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|name| !members.contains_key(name));
        drop(members);
        for name in &gone {
            self.people.forget(name);
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
        self.people.second(now);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        metrics::gauge!("ws.backplane.rooms").set(count(self.rooms.len()));
        metrics::gauge!("ws.backplane.due").set(count(self.due.len()));
    }
}

#[cfg(test)]
mod tests;
