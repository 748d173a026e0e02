//! The task that listens: it subscribes to the rooms of its nodes, passes on what follows, and fills what is missing.

mod answers;
mod seconds;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::backplane::{Entry, Fanout};
use crate::error::{Error, ErrorKind};
use crate::protocol::{GapReason, RoomId};

use super::Shared;
use super::backoff::Backoff;
use super::feed::{Dropped, Said};
use super::lists::Reply;
use super::muted::Muted;
use super::people::People;
use super::recoveries::{Recover, Recoveries};
use super::room::{Next, Room, State, Told, Waiting};
use super::scripts;
use super::session::{Done, Session, connect};
use super::there::Moved;
use super::up::Task;

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
    muted: Muted,
    recoveries: Recoveries,
    people: People,
    /// Subscriptions that were asked for.
    asked: u64,
    session: Option<Session>,
}

/// What is asked of the reader.
pub(super) enum Command {
    /// Be there: answered once the room is live, or cannot be heard.
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
            muted: Muted::default(),
            recoveries: Recoveries::default(),
            people: People::default(),
            asked: 0,
            session: None,
        }
    }

    /// Listens until nobody can ask any more.
    pub(super) async fn run(mut self) {
        // A second, or less where patience is short.
        let mut seconds = interval((self.shared.connector.config.patience / 2).min(Duration::from_secs(1)));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::default();
        let mut connecting = connect(&self.shared, Duration::ZERO);
        let mut is_told = false;
        let mut renewed = Instant::now();
        loop {
            let heard = match &mut self.session {
                None => tokio::select! {
                    command = self.commands.recv() => Heard::Command(command),
                    _ = seconds.tick() => Heard::Second,
                    session = &mut connecting => {
                        match session {
                            Ok(session) => {
                                backoff.opened();
                                is_told = false;
                                self.open(session);
                            }
                            Err(error) => {
                                if !std::mem::replace(&mut is_told, true) {
                                    tracing::warn!(error = &error as &dyn std::error::Error, "no Redis");
                                }
                                connecting = connect(&self.shared, backoff.next());
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
                connecting = connect(&self.shared, backoff.next());
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(name, reply) => {
                if self.muted.has(&name) {
                    // Nobody waits for what is tried again later.
                    drop(reply.send(Err(Error::new(ErrorKind::Backplane))));
                    return;
                }
                let new = !self.rooms.contains_key(&name);
                let room = self.rooms.entry(name.clone()).or_insert_with(|| Room::new(Instant::now()));
                if new {
                    room.asked = self.asked + 1;
                }
                // Whoever asked may have given up and left before it is heard here.
                room.left = (!self.shared.members().contains_key(&name)).then(Instant::now);
                let next = room.wait(Waiting::Join(reply));
                self.after(&name, next);
                if new {
                    self.subscribe(vec![name]);
                }
            }
            // Its answer would wait for a reading that cannot follow.
            Command::Recover(Recover { room, reply, .. }) if self.muted.has(&room) => {
                drop(reply.send(Err(Error::new(ErrorKind::Backplane))));
            }
            Command::Recover(recover) => self.recoveries.ask(recover),
            Command::Present(name, reply) => self.people.ask(&name, reply),
            Command::Doubt(why, watch) => {
                for (name, room) in &mut self.rooms {
                    if room.doubt(Some(why)) == Next::Read {
                        self.due.push_back(name.clone());
                    }
                    if !self.muted.has(name) {
                        // It is not live now, so nothing is to be read for this.
                        let _ = room.wait(Waiting::Watch(watch.clone()));
                    }
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
        self.session = Some(session);
        let names: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for names in names.chunks(CHANNELS) {
            self.subscribe(names.to_vec());
        }
        self.shared.up.set(Task::Reader, true);
        self.pump();
    }

    /// Asks to hear rooms. Without a session the next one does.
    fn subscribe(&mut self, names: Vec<RoomId>) {
        self.asked += 1;
        if let Some(session) = &self.session {
            session.subscribe(&self.shared, self.asked, names);
        }
    }

    fn deafen(&mut self) {
        metrics::counter!("ws.backplane.failures", "task" => "reader").increment(1);
        tracing::warn!(rooms = self.rooms.len(), "Redis is away: rooms are filled when it is back");
        self.shared.up.set(Task::Reader, false);
        self.due.clear();
        self.refused.clear();
        self.muted.clear();
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

    /// Rooms that show people now.
    fn list_fresh(&mut self) {
        for name in self.shared.attendance.take_fresh() {
            if let Some(room) = self.rooms.get(&name) {
                self.people.fresh(&name, room.state == State::Deaf);
            }
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
}

#[cfg(test)]
mod tests;
