//! Acknowledging many deliveries at once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The deliveries of one channel that are out, in order of their tags.
#[derive(Debug)]
pub(super) struct Acks {
    out: BTreeMap<u64, Option<Instant>>,
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
const WAIT: Duration = Duration::from_millis(20);

/// How long it waits for an unfinished one before it before it goes alone.
const STALLED: Duration = Duration::from_millis(100);

// === impl Acks ===

impl Acks {
    pub(super) fn new(prefetch: u16) -> Self {
        // A tenth of the window: the broker refills it long before it is empty.
        Self { out: BTreeMap::new(), enough: usize::from(prefetch / 10).max(1), finished: 0, since: None }
    }

    pub(super) fn deliver(&mut self, tag: u64) {
        self.out.insert(tag, None);
    }

    /// The last tag of each batch of those that are out, in their order.
    pub(super) fn rest(&self, batch: usize) -> Vec<u64> {
        let tags: Vec<u64> = self.out.keys().copied().collect();
        tags.chunks(batch).filter_map(|batch| batch.last().copied()).collect()
    }

    /// Notes that it may be acknowledged. False when it is not out.
    pub(super) fn finish(&mut self, tag: u64, now: Instant) -> bool {
        let Some(finished @ None) = self.out.get_mut(&tag) else { return false };
        *finished = Some(now);
        self.finished += 1;
        self.since.get_or_insert(now);
        true
    }

    /// Takes one out that goes back. False when it is not out.
    pub(super) fn take(&mut self, tag: u64) -> bool {
        match self.out.remove(&tag) {
            Some(None) => true,
            Some(Some(_)) => {
                self.finished -= 1;
                true
            }
            None => false,
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.finished > 0
            && (self.finished >= self.enough
                // Nothing else is out, so there is no company to wait for.
                || self.finished == self.out.len()
                || self.next_look().is_some_and(|at| at <= now))
    }

    /// When something is due at the latest.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.since.map(|since| since + WAIT)
    }

    /// Takes out what can be acknowledged now: the finished ones before the first unfinished, and those behind
    /// it that have waited long. `all` waits for nothing.
    pub(super) fn flush(&mut self, now: Instant, all: bool) -> Vec<Send> {
        let mut sends = Vec::new();
        let mut last = None;
        while let Some(entry) = self.out.first_entry() {
            if entry.get().is_none() {
                break;
            }
            last = Some(*entry.key());
            entry.remove();
            self.finished -= 1;
        }
        sends.extend(last.map(Send::UpTo));
        if self.finished > 0 {
            let alone: Vec<u64> = self
                .out
                .iter()
                .filter(|(_, finished)| finished.is_some_and(|at| all || at + STALLED <= now))
                .map(|(tag, _)| *tag)
                .collect();
            for tag in alone {
                self.take(tag);
                sends.push(Send::One(tag));
            }
        }
        // Those that stay wait from now on for the next look.
        self.since = (self.finished > 0).then_some(now);
        sends
    }
}

#[cfg(test)]
mod tests;
