//! Acknowledging many deliveries at once.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The deliveries of one channel that are out, in order of their tags.
#[derive(Debug)]
pub(super) struct Acks {
    /// By their tags, each with the time since when it is to be acknowledged.
    out: VecDeque<(u64, Option<Instant>)>,
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

/// How long a finished delivery waits for company.
pub(super) const WAIT: Duration = Duration::from_millis(20);

/// How long it waits for an unfinished one before it before it goes alone.
const STALLED: Duration = Duration::from_millis(100);

// === impl Acks ===

impl Acks {
    pub(super) fn new(prefetch: u16) -> Self {
        Self { out: VecDeque::new(), enough: enough(prefetch), finished: 0, since: None }
    }

    pub(super) fn deliver(&mut self, tag: u64) {
        // INVARIANT: a broker counts upwards, so that they stand in order.
        self.out.push_back((tag, None));
    }

    /// The last tag of each batch of those that are out, in their order.
    pub(super) fn rest(&self, batch: usize) -> Vec<u64> {
        let tags: Vec<u64> = self.out.iter().map(|(tag, _)| *tag).collect();
        tags.chunks(batch).filter_map(|batch| batch.last().copied()).collect()
    }

    /// Notes that it may be acknowledged. False when it is not out.
    pub(super) fn finish(&mut self, tag: u64, now: Instant) -> bool {
        let Some((_, finished @ None)) = self.find(tag).and_then(|at| self.out.get_mut(at)) else {
            return false;
        };
        *finished = Some(now);
        self.finished += 1;
        self.since.get_or_insert(now);
        true
    }

    /// Takes one out that goes back. False when it is not out.
    pub(super) fn take(&mut self, tag: u64) -> bool {
        let Some((_, finished)) = self.find(tag).and_then(|at| self.out.remove(at)) else { return false };
        self.finished -= usize::from(finished.is_some());
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
        while let Some((tag, Some(_))) = self.out.front() {
            last = Some(*tag);
            self.out.pop_front();
            self.finished -= 1;
        }
        let mut alone = Vec::new();
        if self.finished > 0 {
            self.out.retain(|(tag, finished)| {
                let goes = finished.is_some_and(|at| all || at + STALLED <= now);
                if goes {
                    alone.push(*tag);
                }
                !goes
            });
            self.finished -= alone.len();
        }
        // Those that stay wait from now on for the next look.
        self.since = (self.finished > 0).then_some(now);
        last.map(Send::UpTo).into_iter().chain(alone.into_iter().map(Send::One))
    }

    fn find(&self, tag: u64) -> Option<usize> {
        let (first, _) = self.out.front()?;
        let at = usize::try_from(tag.checked_sub(*first)?).ok()?;
        // Nearly always none is missing before it.
        match self.out.get(at) {
            Some((there, _)) if *there == tag => Some(at),
            _ => self.out.binary_search_by_key(&tag, |(tag, _)| *tag).ok(),
        }
    }
}

/// A tenth of the window: the broker refills it long before it is empty.
pub(super) fn enough(prefetch: u16) -> usize {
    usize::from(prefetch / 10).max(1)
}

#[cfg(test)]
mod tests;
