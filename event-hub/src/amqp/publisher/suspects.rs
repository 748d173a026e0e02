//! Which publishes may be the one that the broker closed a channel over, and in which order all go out.
//!
//! A close names no publish. Those that were out beside each other are suspects, by their ids: when one of them
//! comes again it goes alone, so that it hears of itself, and whatever comes in between goes at full speed.

use std::collections::{HashSet, VecDeque};

use crate::amqp::publisher::Request;
use crate::message::{Message, Text};

/// What waits to go out on a channel, and outlives it.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<Request>,
    suspects: HashSet<Text>,
    /// Whether what is out is a suspect, which nothing may join.
    alone: bool,
}

/// So many suspects are remembered; those who gave up do not come again, and must not pile up.
const SUSPECTS: usize = 10_000;

// === impl Line ===

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// The next that may go now, when so many are out.
    pub(super) fn next(&mut self, out: usize) -> Option<Request> {
        self.alone &= out > 0;
        let suspect = match self.waiting.front() {
            Some(next) if !self.suspects.is_empty() => self.suspects.contains(&id(&next.message)),
            Some(_) => false,
            None => return None,
        };
        // ORDER: none passes one that waits: events of one key keep theirs.
        if self.alone || (suspect && out > 0) {
            return None;
        }
        let next = self.waiting.pop_front()?;
        if suspect {
            // When it is refused it becomes one again.
            self.suspects.remove(&id(&next.message));
            self.alone = true;
        }
        Some(next)
    }

    /// The channel was closed over one of these. One that was alone stays so: it would take others along the next time.
    pub(super) fn suspect(&mut self, ids: impl ExactSizeIterator<Item = Text>) {
        if self.suspects.len() + ids.len() > SUSPECTS {
            self.suspects.clear();
        }
        self.suspects.extend(ids);
    }

    /// The channel is gone, and what was out on it.
    pub(super) fn lost(&mut self) {
        self.alone = false;
    }

    /// Those that never went.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Request> {
        self.waiting.into_iter()
    }
}

/// What a message is known by when it comes again; those without an id are known as one.
pub(super) fn id(message: &Message) -> Text {
    message.properties().message_id.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests;
