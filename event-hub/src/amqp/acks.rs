//! Acknowledging many deliveries at once.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The deliveries of one channel that are out, in order of their tags.
#[derive(Debug)]
pub(super) struct Acks {
    /// From the tag `first` on, one after the other, as the broker counts them.
    tags: VecDeque<Tag>,
    first: u64,
    /// How many finished ones make an acknowledgement worth its frame.
    enough: usize,
    finished: usize,
    /// Since when something finished waits.
    since: Option<Instant>,
}

/// What to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Send {
    /// This one.
    One(u64),
    /// This one and all before it.
    UpTo(u64),
}

#[derive(Clone, Copy, Debug)]
enum Tag {
    Out,
    /// To be acknowledged, since then.
    Finished(Instant),
    /// Acknowledged alone, or gone back.
    Settled,
}

/// How long a finished delivery waits for company.
pub(super) const WAIT: Duration = Duration::from_millis(20);

/// How long it waits for an unfinished one before it before it goes alone.
const STALLED: Duration = Duration::from_millis(100);

// === impl Acks ===

impl Acks {
    pub(super) fn new(prefetch: u16) -> Self {
        // A tenth of the window: the broker refills it long before it is empty.
        let enough = usize::from(prefetch / 10).max(1);
        Self { tags: VecDeque::new(), first: 1, enough, finished: 0, since: None }
    }

    pub(super) fn deliver(&mut self, tag: u64) {
        if self.tags.is_empty() {
            self.first = tag;
        }
        // A tag that the broker has left out is not there to be settled.
        while self.next() < tag {
            self.tags.push_back(Tag::Settled);
        }
        self.tags.push_back(Tag::Out);
    }

    /// The last tag of each batch of those that are out, in their order.
    pub(super) fn rest(&self, batch: usize) -> Vec<u64> {
        let open = |tag: &Tag| !matches!(tag, Tag::Settled);
        let tags: Vec<u64> =
            (self.first..).zip(&self.tags).filter(|(_, tag)| open(tag)).map(|(tag, _)| tag).collect();
        tags.chunks(batch).filter_map(|batch| batch.last().copied()).collect()
    }

    /// Notes that it may be acknowledged. False when it is not out.
    pub(super) fn finish(&mut self, tag: u64, now: Instant) -> bool {
        let Some(entry @ Tag::Out) = self.entry(tag) else { return false };
        *entry = Tag::Finished(now);
        self.finished += 1;
        self.since.get_or_insert(now);
        true
    }

    /// Takes one out that goes back. False when it is not out.
    pub(super) fn take(&mut self, tag: u64) -> bool {
        let Some(entry) = self.entry(tag) else { return false };
        match std::mem::replace(entry, Tag::Settled) {
            Tag::Out => {}
            Tag::Finished(_) => self.finished -= 1,
            Tag::Settled => return false,
        }
        true
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.finished >= self.enough || self.next_look().is_some_and(|at| at <= now)
    }

    /// When something is due at the latest.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.since.map(|since| since + WAIT)
    }

    /// Takes out what can be acknowledged now: the finished ones before the first unfinished, and those behind
    /// it that have waited long. `all` waits for nothing.
    pub(super) fn flush(&mut self, now: Instant, all: bool) -> impl Iterator<Item = Send> + use<> {
        let mut last = None;
        while let Some(Tag::Finished(_) | Tag::Settled) = self.tags.front() {
            if let Some(Tag::Finished(_)) = self.tags.pop_front() {
                last = Some(self.first);
                self.finished -= 1;
            }
            self.first += 1;
        }
        let mut alone = Vec::new();
        if self.finished > 0 {
            for (tag, entry) in (self.first..).zip(&mut self.tags) {
                if let Tag::Finished(at) = entry
                    && (all || *at + STALLED <= now)
                {
                    *entry = Tag::Settled;
                    self.finished -= 1;
                    alone.push(tag);
                }
            }
        }
        // Those that stay wait from now on for the next look.
        self.since = (self.finished > 0).then_some(now);
        last.map(Send::UpTo).into_iter().chain(alone.into_iter().map(Send::One))
    }

    /// The tag that is expected.
    fn next(&self) -> u64 {
        self.first + self.tags.len() as u64
    }

    fn entry(&mut self, tag: u64) -> Option<&mut Tag> {
        self.tags.get_mut(usize::try_from(tag.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests;
