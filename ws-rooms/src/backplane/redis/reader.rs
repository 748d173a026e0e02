//! The task that listens: it subscribes to the rooms of its nodes, passes on what follows, and fills what is missing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::backplane::{Entry, Fanout, Missed, Recovery, RecoveryBounds};
use crate::error::{Error, ErrorKind};
use crate::protocol::{GapReason, Member, NotRecovered, Position, RoomId};

use super::Shared;
use super::feed::{Dropped, Said};
use super::room::{Next, Room, State, Told, Waiting};
use super::scripts::{self, Answer};
use super::session::{Done, Session, connect};
use super::there::{Moved, There};
use super::wire;

/// Histories that are read at once.
const READS: usize = 64;
/// Channels in one round trip of subscribing.
const CHANNELS: usize = 256;
/// Recoveries that are asked for at once: their answers are as long as a history, and share a connection with what
/// fills the rooms.
const RECOVERIES: usize = 64;
/// Recoveries that wait for their turn, or for a Redis that is away. Beyond it they are refused, and the clients come back.
const PARKED: usize = 4_096;

pub(super) struct Reader {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    rooms: HashMap<RoomId, Room>,
    /// Rooms whose reading waits for its turn.
    due: VecDeque<RoomId>,
    /// Recoveries that wait for their turn, or for a connection.
    parked: VecDeque<Recover>,
    session: Option<Session>,
    /// Rooms of this node that show who is there.
    there: HashMap<RoomId, There>,
}

/// What is asked of the reader.
pub(super) enum Command {
    /// Be there: answered once the room is live.
    Join(RoomId, oneshot::Sender<Result<(), Error>>),
    Recover(Recover),
    /// Who is in the room.
    Present(RoomId, oneshot::Sender<Result<Vec<Member>, Error>>),
    /// The source was lost: read every room again. The sender is dropped when that is done.
    Doubt(GapReason, mpsc::Sender<()>),
    /// Tell the members of every room of a gap.
    Gap(GapReason, oneshot::Sender<()>),
}

pub(super) struct Recover {
    pub(super) room: RoomId,
    pub(super) since: Option<Position>,
    pub(super) bounds: RecoveryBounds,
    pub(super) reply: oneshot::Sender<Result<Recovery, Error>>,
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
            parked: VecDeque::new(),
            session: None,
            there: HashMap::new(),
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
                    if renewed.elapsed() >= 2 * self.shared.connector.config.patience
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
            Command::Recover(recover) => self.park(recover),
            Command::Present(name, reply) => match &self.session {
                Some(session) => session.present(&self.shared, name, reply),
                None => drop(reply.send(Err(Error::new(ErrorKind::Backplane)))),
            },
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

    /// Has a recovery wait for its turn, which [`pump`](Self::pump) gives.
    fn park(&mut self, recover: Recover) {
        if self.parked.len() >= PARKED {
            self.parked.retain(|recover| !recover.reply.is_closed());
        }
        if self.parked.len() < PARKED {
            self.parked.push_back(recover);
        } else {
            drop(recover.reply.send(Err(Error::new(ErrorKind::Backplane))));
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
        self.rooms.values_mut().for_each(Room::deafen);
        self.there.values_mut().for_each(There::unask);
    }

    fn take(&mut self, said: Said) {
        let prefix = &self.shared.connector.config.prefix;
        let Some(name) = scripts::room_of(prefix, &said.channel) else { return };
        let Some(room) = self.rooms.get_mut(name) else { return };
        if let Some(moved) = Moved::read(&said.text) {
            let Ok(name) = RoomId::parse(name) else { return };
            return self.moved(&name, |there, tell| there.said(moved, tell));
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
            }
        }
    }

    /// Says whether the session goes on.
    fn done(&mut self, done: Done) -> bool {
        let result = match done {
            Done::Renewed(result) | Done::Unsubscribed(result) => result,
            Done::Subscribed(names, result) => {
                if result.is_ok() {
                    for name in names {
                        if let Some(room) = self.rooms.get_mut(&name) {
                            let next = room.subscribed();
                            self.after(&name, next);
                            if self.there.contains_key(&name) || self.shared.attendance.has(&name) {
                                self.list(name);
                            }
                        }
                    }
                }
                result
            }
            Done::Listed(name, result) => result.map(|members| {
                let users = members.into_iter().map(|member| member.user_id).collect();
                self.moved(&name, |there, tell| there.list(users, tell));
            }),
            Done::Present(reply, result) => {
                let (answer, result) = match result {
                    Ok(members) => (Ok(members), Ok(())),
                    Err(error) => (Err(Error::new(ErrorKind::Backplane)), Err(error)),
                };
                drop(reply.send(answer));
                result
            }
            Done::Read(name, result) => {
                if let Some(session) = &mut self.session {
                    session.reads -= 1;
                }
                result.map(|answer| self.filled(&name, answer))
            }
            Done::Recovered(recover, result) => {
                if let Some(session) = &mut self.session {
                    session.recoveries -= 1;
                }
                match result {
                    Ok(answer) => {
                        self.recovered(recover, answer);
                        Ok(())
                    }
                    // Late is not gone: whether the connection is, the next renewal finds out.
                    Err(error) if error.is_timeout() => {
                        drop(recover.reply.send(Err(Error::with(ErrorKind::Backplane, error))));
                        Ok(())
                    }
                    Err(error) => {
                        // It may be answered by the next session.
                        self.park(recover);
                        Err(error)
                    }
                }
            }
        };
        if let Err(error) = &result {
            tracing::warn!(error = error as &dyn std::error::Error, "Redis did not answer the rooms");
        }
        result.is_ok()
    }

    /// Rooms that show people now. One that is not subscribed asks when it is.
    fn list_fresh(&mut self) {
        for name in self.shared.attendance.take_fresh() {
            match self.rooms.get(&name).map(|room| room.state) {
                Some(State::Deaf) | None => self.there.entry(name).or_default().unask(),
                Some(_) => self.list(name),
            }
        }
    }

    /// Asks who is there, to tell what is new of it.
    fn list(&mut self, name: RoomId) {
        if let Some(session) = &self.session {
            self.there.entry(name.clone()).or_default().ask();
            session.list(&self.shared, name);
        }
    }

    /// Tells the members who has come and left.
    fn moved(&mut self, name: &RoomId, change: impl FnOnce(&mut There, &mut Vec<Moved>)) {
        let mut tell = Vec::new();
        change(self.there.entry(name.clone()).or_default(), &mut tell);
        for moved in tell {
            self.shared.moved(name, &moved);
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

    fn recovered(&mut self, recover: Recover, answer: Answer) {
        let Recover { room: name, reply, .. } = recover;
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

    /// Starts the readings that are due and the recoveries that wait, as many as may be out.
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
        while session.recoveries < RECOVERIES
            && let Some(recover) = self.parked.pop_front()
        {
            // Who has given up need not be read for.
            if !recover.reply.is_closed() {
                session.recover(&self.shared, recover);
            }
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
            }
        }
        let members = self.shared.members.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|name| !members.contains_key(name));
        drop(members);
        for name in &gone {
            self.there.remove(name);
            if let Some(mut room) = self.rooms.remove(name) {
                room.refuse(|| Error::new(ErrorKind::Backplane));
            }
        }
        for names in gone.chunks(CHANNELS) {
            if let Some(session) = &mut self.session {
                session.unsubscribe(&self.shared, names);
            }
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        metrics::gauge!("ws.backplane.rooms").set(count(self.rooms.len()));
        metrics::gauge!("ws.backplane.due").set(count(self.due.len()));
    }
}
