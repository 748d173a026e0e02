//! What a node knows about one room: where its members stand, and how a hole is filled.
//!
//! What the channel says is delivered while each number follows the last one. Anything else starts a reading of the
//! room's history from the last number on. A reading covers all that came before it began, so only what comes later is
//! held until its answer.

mod waiting;

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::Error;
use crate::protocol::{GapReason, NotRecovered, Position};
use crate::publication::Publication;

use super::wire::{self, Message, What};

use self::waiting::Waiters;
pub(super) use self::waiting::Waiting;

/// Bytes that a room holds while its history is read: the history's own default. Beyond that the room is read again.
const HELD: usize = 256 * 1024;

/// A room that this node listens to.
#[derive(Debug)]
pub(super) struct Room {
    /// Up to where members have been told; `None` before the first answer.
    pub(super) last: Option<Position>,
    pub(super) state: State,
    /// Who waits for a reading.
    waiters: Waiters,
    /// Who has waited for long enough.
    ready: Vec<Waiting>,
    held: Vec<Vec<u8>>,
    held_bytes: usize,
    /// Another reading must follow the one that is out.
    again: bool,
    /// Why members reload, when the channel said so before the reading did.
    hint: Option<GapReason>,
    /// When the room last said anything, or was read.
    pub(super) heard: Instant,
    /// The first subscription that it is part of, by number: what is answered to an earlier one is about a room that is
    /// gone, and left its channel.
    pub(super) asked: u64,
    /// Since when nobody is in it.
    pub(super) left: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Not subscribed: nothing that is said counts.
    Deaf,
    /// Subscribed, and to be read. What is said until then is covered.
    Due,
    /// A reading is out.
    Reading,
    Live,
}

/// What the members are to be told.
#[derive(Debug)]
pub(super) enum Told {
    Entry(Position, Arc<Publication>),
    Gap(Position, GapReason),
}

/// Whether the room has to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Next {
    Nothing,
    Read,
}

// === impl Room ===

impl Room {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last: None,
            state: State::Deaf,
            waiters: Waiters::new(),
            ready: Vec::new(),
            held: Vec::new(),
            held_bytes: 0,
            again: false,
            hint: None,
            heard: now,
            asked: 0,
            left: None,
        }
    }

    /// Lets someone wait for a reading; not at all if the members have been told enough.
    pub(super) fn wait(&mut self, waiting: Waiting) -> Next {
        let is_over = match &waiting {
            Waiting::Join(_) | Waiting::Watch(_) => self.state == State::Live,
            Waiting::Recover(recovery, _) => self.state != State::Deaf && self.has(&recovery.position),
        };
        if is_over {
            waiting.answer();
            return Next::Nothing;
        }
        self.waiters.push(waiting);
        if self.state == State::Live {
            // The history is ahead of the channel, or the channel has lost something: the answer must not stand before
            // what members are told later.
            self.state = State::Due;
            return Next::Read;
        }
        Next::Nothing
    }

    /// Answers those who need not wait any longer. To be called once members have been told what
    /// [`read`](Self::read) gave: an answer stands behind that.
    pub(super) fn answer(&mut self) {
        self.ready.drain(..).for_each(Waiting::answer);
    }

    /// The connection is gone: what is said from now on is not heard.
    pub(super) fn deafen(&mut self) {
        self.state = State::Deaf;
        self.drop_held();
    }

    /// The subscription stands.
    pub(super) fn subscribed(&mut self) -> Next {
        if self.state != State::Deaf {
            return Next::Nothing;
        }
        self.state = State::Due;
        Next::Read
    }

    /// Something may be missing, or the place may be another one.
    pub(super) fn doubt(&mut self, why: Option<GapReason>) -> Next {
        self.hint = why.or(self.hint);
        match self.state {
            State::Live => {
                self.state = State::Due;
                return Next::Read;
            }
            State::Reading => self.again = true,
            State::Deaf | State::Due => {}
        }
        Next::Nothing
    }

    /// The reading begins: where from, and why members would reload.
    pub(super) fn begin(&mut self) -> Option<(Option<Position>, GapReason)> {
        if self.state != State::Due {
            return None;
        }
        self.state = State::Reading;
        self.again = false;
        self.drop_held();
        self.waiters.cover();
        Some((self.last.clone(), self.hint.unwrap_or(GapReason::Trimmed)))
    }

    /// Takes what the channel said.
    pub(super) fn said(&mut self, text: Vec<u8>, now: Instant, told: &mut Vec<Told>) -> Next {
        match self.state {
            State::Deaf | State::Due => Next::Nothing,
            State::Reading => {
                self.held_bytes += text.len();
                if self.held_bytes > HELD {
                    self.drop_held();
                    self.again = true;
                } else if !self.again {
                    self.held.push(text);
                }
                Next::Nothing
            }
            State::Live => {
                self.heard = now;
                let next = self.follow(&text, told);
                if next == Next::Read {
                    self.state = State::Due;
                }
                next
            }
        }
    }

    /// Takes the answer of the reading. [`answer`](Self::answer) is to follow.
    pub(super) fn read(
        &mut self,
        at: Position,
        missed: Option<Result<Vec<Vec<u8>>, NotRecovered>>,
        now: Instant,
        told: &mut Vec<Told>,
    ) -> Next {
        if self.state != State::Reading {
            return Next::Nothing;
        }
        match missed {
            None => {}
            Some(Ok(bodies)) => {
                let first = at.offset + 1 - bodies.len() as u64;
                for (body, offset) in bodies.iter().zip(first..) {
                    told.push(entry(Position::new(Arc::clone(&at.epoch), offset), body));
                }
            }
            Some(Err(_)) => {
                told.push(Told::Gap(at.clone(), self.hint.unwrap_or(GapReason::Trimmed)));
                self.hint = None;
            }
        }
        self.last = Some(at);
        self.heard = now;
        if !self.again {
            // A reason that came to nothing must not colour a later gap.
            self.hint = None;
            let held = std::mem::take(&mut self.held);
            self.again = held.iter().any(|text| self.follow(text, told) == Next::Read);
        }
        self.drop_held();
        let (last, again) = (self.last.as_ref(), self.again);
        self.ready.extend(self.waiters.take(|waiting, is_covered| match waiting {
            // Subscribed, and at a place: all that follows reaches the members, read or said.
            Waiting::Join(_) => true,
            Waiting::Recover(recovery, _) => is_covered || covers(last, &recovery.position),
            Waiting::Watch(_) => !again,
        }));
        // Who came meanwhile with a place beyond this one waits for another reading, and keeps nobody else waiting.
        self.again |= self.waiters.want_more();
        if self.again {
            self.state = State::Due;
            return Next::Read;
        }
        self.state = State::Live;
        Next::Nothing
    }

    /// The reading that was out brings nothing: another one is to follow.
    pub(super) fn fail(&mut self) -> Next {
        if self.state != State::Reading {
            return Next::Nothing;
        }
        self.state = State::Due;
        Next::Read
    }

    /// Whoever waits is told that it was in vain.
    pub(super) fn refuse(&mut self, why: impl Fn() -> Error) {
        for waiting in self.waiters.take(|_, _| true) {
            waiting.refuse(why());
        }
    }

    /// Delivers what follows the last number.
    fn follow(&mut self, text: &[u8], told: &mut Vec<Told>) -> Next {
        let (Some(last), Some(Message { at, what })) = (&mut self.last, wire::read(text)) else {
            return Next::Read;
        };
        if at.epoch != last.epoch {
            if let What::Gap(reason) = what {
                self.hint = Some(reason);
            }
            return Next::Read;
        }
        if at.offset <= last.offset {
            return Next::Nothing;
        }
        if at.offset > last.offset + 1 {
            return Next::Read;
        }
        last.offset = at.offset;
        let at = last.clone();
        told.push(match what {
            What::Event(body) => entry(at, body),
            What::Gap(reason) => Told::Gap(at, reason),
        });
        Next::Nothing
    }

    fn has(&self, at: &Position) -> bool {
        covers(self.last.as_ref(), at)
    }

    fn drop_held(&mut self) {
        self.held = Vec::new();
        self.held_bytes = 0;
    }
}

/// Whether members who have been told up to `last` know this place.
fn covers(last: Option<&Position>, at: &Position) -> bool {
    last.is_some_and(|last| last.epoch == at.epoch && last.offset >= at.offset)
}

/// An event, or the place of one that cannot be read.
fn entry(at: Position, body: &[u8]) -> Told {
    match wire::read_body(body) {
        Some(publication) => Told::Entry(at, publication),
        None => Told::Gap(at, GapReason::Source),
    }
}

#[cfg(test)]
mod tests;
