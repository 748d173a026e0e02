//! Which partitions are the relay's own, and which it hands over.

use tokio::time::Instant;

use crate::outbox::parts::Parts;
use crate::outbox::relay::flow::Flow;

/// The partitions of a relay.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// Those whose locks this relay has.
    held: Parts,
    /// Those of them that it takes nothing more from.
    leaving: Parts,
    /// Until when they wait for what is sent and not settled.
    leave_by: Option<Instant>,
    /// How many relays there are.
    relays: u32,
}

// === impl Flow ===

impl Flow {
    /// Whether what becomes of a row there is this relay's to write.
    pub(crate) fn owns(&self, part: u8) -> bool {
        self.shares.held.contains(part)
    }

    /// Partitions to take rows from.
    pub(crate) fn sending(&self) -> Parts {
        self.shares.held.without(self.shares.leaving)
    }

    pub(crate) fn took(&mut self, parts: Parts) {
        self.shares.held = self.shares.held.and(parts);
        self.tell_shares();
    }

    pub(crate) fn relays(&mut self, relays: u32) {
        self.shares.relays = relays;
        self.tell_shares();
    }

    /// Takes nothing more from `give` partitions: those with the least to wait for.
    pub(crate) fn leave_some(&mut self, give: u32) {
        let mut parts: Vec<u8> = self.sending().iter().collect();
        parts.sort_by_key(|part| (self.unsettled_of(*part), self.lanes.out_of(*part)));
        let give = usize::try_from(give).unwrap_or(usize::MAX);
        self.leave(parts.into_iter().take(give).collect(), true);
    }

    /// Takes nothing more from any partition; what is out is still answered.
    pub(crate) fn leave_all(&mut self) {
        self.leave(self.sending(), false);
        // Settling may take for ever, and the process is to end.
        self.shares.leave_by = Some(Instant::now());
    }

    fn leave(&mut self, parts: Parts, until_settled: bool) {
        if parts.is_empty() {
            return;
        }
        self.lanes.forget(parts);
        self.shares.leaving = self.shares.leaving.and(parts);
        if until_settled {
            self.shares.leave_by = Some(Instant::now() + self.config.drain_timeout);
        }
    }

    /// Partitions that can go now: nothing of them is out, and all that became of their rows is written down.
    pub(crate) fn left(&self) -> Parts {
        if self.has_changes() {
            return Parts::NONE;
        }
        // Unsettled rows are worth a wait, since the next owner sends them again; but no endless one.
        let waited = self.shares.leave_by.is_none_or(|by| Instant::now() >= by);
        let done = |part: &u8| self.lanes.out_of(*part) == 0 && (waited || self.unsettled_of(*part) == 0);
        self.shares.leaving.iter().filter(done).collect()
    }

    /// When partitions go whose events are not settled.
    pub(crate) fn leave_by(&self) -> Option<Instant> {
        if self.shares.leaving.is_empty() { None } else { self.shares.leave_by }
    }

    pub(crate) fn gave(&mut self, parts: Parts) {
        self.shares.held = self.shares.held.without(parts);
        self.shares.leaving = self.shares.leaving.without(parts);
        self.tell_shares();
    }

    /// The session is gone, and with it the right to write about rows: others may have them now.
    pub(crate) fn lose_all(&mut self) {
        self.shares = Shares::default();
        self.lanes.clear();
        // What is gone stays gone, whoever has its row. The rest is found out again by who sends it next.
        let changes = std::mem::take(&mut self.changes);
        let rest = changes.confirmed.iter().chain(changes.failed.iter().map(|failed| &failed.seq));
        for seq in rest.chain(changes.parked.iter().map(|(seq, _)| seq)) {
            self.lanes.done(*seq);
        }
        self.changes.gone = changes.gone;
        self.figures.standby();
    }

    fn unsettled_of(&self, part: u8) -> usize {
        self.unsettled_rows.values().filter(|of| **of == part).count()
    }

    fn tell_shares(&mut self) {
        self.figures.shares(self.shares.held, self.shares.relays);
    }
}
