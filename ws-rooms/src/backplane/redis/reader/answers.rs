//! What becomes of the reader's work: what Redis answers, refuses, or is late with.

use ::redis::{RedisError, RedisResult, Value};
use tokio::time::Instant;

use super::Reader;
use crate::backplane::redis::reach::Reach;
use crate::backplane::redis::recoveries::Recover;
use crate::backplane::redis::room::Waiting;
use crate::backplane::redis::scripts::Answer;
use crate::backplane::redis::session::Done;
use crate::backplane::redis::wire;
use crate::backplane::{Missed, Recovery};
use crate::error::{Error, ErrorKind};
use crate::protocol::{NotRecovered, RoomId};

impl Reader {
    /// Says whether the session goes on.
    pub(super) fn done(&mut self, done: Done) -> bool {
        let result = match done {
            Done::Renewed(result) => result,
            Done::Unsubscribed(result) => result.map(drop),
            Done::Subscribed(number, names, result) => {
                result.map(|each| self.subscribed(number, names, each))
            }
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

    /// What became of each channel. One that is refused is its own room's trouble.
    fn subscribed(&mut self, number: u64, names: Vec<RoomId>, each: Vec<RedisResult<Value>>) {
        let mut new = 0;
        for (name, result) in names.into_iter().zip(each) {
            let Some(room) = self.rooms.get_mut(&name).filter(|room| room.asked <= number) else { continue };
            match result {
                Ok(_) => {
                    self.muted.forget(&name);
                    let next = room.subscribed();
                    self.after(&name, next);
                    self.people.subscribed(&self.shared, &name);
                }
                Err(error) => {
                    metrics::counter!("ws.backplane.refused").increment(1);
                    room.refuse(|| Error::new(ErrorKind::Backplane));
                    if self.muted.refuse(&name, Instant::now()) {
                        new += 1;
                        if new == 1 {
                            let error: &dyn std::error::Error = &error;
                            tracing::warn!(error, room = name.as_str(), "Redis lets us not hear a room");
                        }
                    }
                }
            }
        }
        if new > 1 {
            tracing::warn!(rooms = new, "Redis lets us not hear rooms");
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
}
