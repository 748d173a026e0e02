//! Which publish was answered how, kept by our own numbers.
//!
//! lapin 4.12 hands a return to whichever confirm completes next. What it guarantees is enough to tell the
//! truth all the same. The broker sends a return before its own acknowledgement, so a publish that came back
//! has its return in lapin's line by the time its confirm completes, and every completion takes the first of
//! that line. Hence a confirm that carries nothing is a good one, unless an earlier completion carried its
//! return away; and one that carries the return of another says nothing about itself until all that was out
//! by then is resolved.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lapin::Confirmation;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::amqp::failure::Refusal;
use crate::amqp::properties;
use crate::message::Text;
use crate::publish::PublishErrorKind;

pub(super) type Answer = oneshot::Sender<Result<(), PublishErrorKind>>;

/// The publishes that are out on one channel.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// In order of their numbers, from `first` on; answered ones in the middle are empty.
    out: VecDeque<Option<Entry>>,
    first: u64,
    /// How many have no confirm yet.
    open: usize,
    /// How many wait for their answer.
    unanswered: usize,
    /// Resolved since the last [`Books::release`].
    resolved: Vec<(u64, Verdict)>,
    /// Confirms that carried the return of another, and the last publish that was issued by then.
    doubtful: Vec<(u64, u64, Verdict)>,
    returned: HashMap<u64, PublishErrorKind>,
}

#[derive(Debug)]
struct Entry {
    id: Text,
    answer: Answer,
    deadline: Instant,
    open: bool,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Acked,
    Nacked,
}

/// How long a confirm may still come after its caller has left, before the channel is given up.
const GRACE: Duration = Duration::from_secs(5);

// === impl Books ===

impl Books {
    /// The number of the next publish.
    pub(super) fn issue(&mut self, id: Text, deadline: Instant, answer: Answer) -> u64 {
        let number = self.first + self.out.len() as u64;
        self.out.push_back(Some(Entry { id, answer, deadline, open: true }));
        self.open += 1;
        self.unanswered += 1;
        number
    }

    /// How many have no confirm yet.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// How many wait for their answer.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(super) fn resolve(&mut self, number: u64, confirmation: Confirmation) {
        let (verdict, carried) = match confirmation {
            Confirmation::Ack(carried) => (Verdict::Acked, carried),
            Confirmation::Nack(carried) => (Verdict::Nacked, carried),
            // INVARIANT: the channel is in confirm mode; unconfirmed is not confirmed.
            Confirmation::NotRequested => (Verdict::Nacked, None),
        };
        if let Some(Some(entry)) = self.position(number).and_then(|at| self.out.get_mut(at))
            && std::mem::take(&mut entry.open)
        {
            self.open -= 1;
        }
        let Some(message) = carried else {
            self.resolved.push((number, verdict));
            return;
        };
        let Some(of) = properties::sequence(&message.delivery.properties) else {
            tracing::error!("a returned message carries no number of ours");
            self.doubtful.push((number, self.next(), verdict));
            return;
        };
        let kind = PublishErrorKind::Returned {
            code: message.reply_code,
            text: message.reply_text.as_str().to_owned(),
            key: message.delivery.routing_key.as_str().to_owned(),
        };
        self.returned.insert(of, kind);
        if of == number {
            self.resolved.push((number, verdict));
        } else {
            self.doubtful.push((number, self.next(), verdict));
        }
    }

    /// Answers those of which no return can be hidden any more. Call it when every confirm that has
    /// completed was given to [`Books::resolve`], and not before.
    pub(super) fn release(&mut self) {
        for (number, verdict) in std::mem::take(&mut self.resolved) {
            self.answer(number, verdict);
        }
        if !self.doubtful.is_empty() {
            let oldest_open = self.oldest_open();
            let (clear, still) = self.doubtful.drain(..).partition(|(_, issued, _)| oldest_open >= *issued);
            self.doubtful = still;
            let clear: Vec<(u64, u64, Verdict)> = clear;
            for (number, _, verdict) in clear {
                self.answer(number, verdict);
            }
        }
        while let Some(None) = self.out.front() {
            self.out.pop_front();
            self.first += 1;
        }
    }

    /// The ids of those that have no answer yet.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = Text> {
        let ids: Vec<Text> = self.out.iter().flatten().map(|entry| Text::clone(&entry.id)).collect();
        ids.into_iter()
    }

    /// Whether the oldest confirm does not come.
    pub(super) fn is_late(&self) -> bool {
        let oldest = self.out.iter().flatten().find(|entry| entry.open);
        oldest.is_some_and(|entry| entry.deadline + GRACE <= Instant::now())
    }

    /// The channel is gone: nobody will ever know. With `refusal` the broker has closed it over one of these.
    pub(super) fn lose(&mut self, refusal: Option<&Refusal>) {
        let alone = self.unanswered == 1;
        for entry in self.out.drain(..).flatten() {
            let kind = match refusal {
                Some(Refusal { code, text }) => {
                    PublishErrorKind::Refused { code: *code, text: text.clone(), alone }
                }
                None => PublishErrorKind::Unknown,
            };
            let _ = entry.answer.send(Err(kind));
        }
        *self = Self::default();
    }

    fn answer(&mut self, number: u64, verdict: Verdict) {
        let returned = if self.returned.is_empty() { None } else { self.returned.remove(&number) };
        let entry = self.position(number).and_then(|at| self.out.get_mut(at)).and_then(Option::take);
        let Some(entry) = entry else { return };
        self.unanswered -= 1;
        let answer = match (returned, verdict) {
            (Some(returned), _) => Err(returned),
            (None, Verdict::Acked) => Ok(()),
            (None, Verdict::Nacked) => Err(PublishErrorKind::Nacked),
        };
        // The caller may have left.
        let _ = entry.answer.send(answer);
    }

    fn next(&self) -> u64 {
        self.first + self.out.len() as u64
    }

    fn oldest_open(&self) -> u64 {
        let open = self.out.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.open));
        open.map_or(self.next(), |at| self.first + at as u64)
    }

    fn position(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests;
