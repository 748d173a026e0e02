//! What became of each event.

mod load;

use std::collections::{HashMap, HashSet};

pub(crate) use self::load::load;

/// The name of the consumer whose order is checked.
pub(crate) const ORDERED: &str = "ordered";
/// The other one's.
pub(crate) const DIRECT: &str = "direct";

/// As long as there is trouble some of these are no fault: a mended event waits there to be sent back.
const NO_POISON: &str = "a dead letter that was no poison";

/// Everything that is known at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// What was promised: confirmed to a publisher, or committed in an outbox.
    pub(crate) accepted: HashMap<String, Accepted>,
    /// Sent, and never confirmed: it may be there or not. True for poison.
    pub(crate) unanswered: HashMap<String, bool>,
    /// In the order in which they were written.
    pub(crate) effects: Vec<Effect>,
    /// The reasons of the dead letters of each event.
    pub(crate) letters: HashMap<String, Vec<String>>,
    /// How often a handler was about to let an event die.
    pub(crate) deaths: HashMap<String, u64>,
    /// Rows left in the outbox, and how many among them were put aside.
    pub(crate) outbox: Vec<String>,
}

/// An event that must not be lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) poison: bool,
    pub(crate) ordered: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Effect {
    pub(crate) event_id: String,
    pub(crate) ordered: bool,
    pub(crate) key: String,
    pub(crate) seq: i64,
}

/// Something that must not be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    /// Sorted.
    pub(crate) ids: Vec<String>,
}

// === impl Ledger ===

impl Ledger {
    /// Everything that is wrong; nothing when nothing is.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut times: HashMap<&str, u32> = HashMap::new();
        for effect in &self.effects {
            *times.entry(&effect.event_id).or_default() += 1;
        }
        let accepted = |poison: bool| {
            self.accepted.iter().filter(move |(_, one)| one.poison == poison).map(|(id, _)| id.as_str())
        };
        let findings = [
            ("lost: accepted, and no effect", {
                collect(accepted(false).filter(|id| !times.contains_key(id)))
            }),
            ("lost: poison, and no dead letter", {
                collect(accepted(true).filter(|id| !self.letters.contains_key(*id)))
            }),
            ("more than one effect", collect(times.iter().filter(|(_, n)| **n > 1).map(|(id, _)| *id))),
            ("an effect of what nobody committed or sent", {
                collect(times.keys().copied().filter(|id| self.poison(id).is_none()))
            }),
            (
                "an effect of poison",
                collect(times.keys().copied().filter(|id| self.poison(id) == Some(true))),
            ),
            ("out of order", self.overtaken()),
            (NO_POISON, {
                collect(self.letters.keys().map(String::as_str).filter(|id| self.poison(id) != Some(true)))
            }),
            ("more dead letters than deaths", self.invented()),
            ("left in the outbox", collect(self.outbox.iter().map(String::as_str))),
        ];
        findings
            .into_iter()
            .filter(|(_, ids)| !ids.is_empty())
            .map(|(what, ids)| Finding { what, ids })
            .collect()
    }

    /// Whether all that was accepted has come to its end. What is wrong otherwise does not become right by waiting.
    pub(crate) fn is_settled(&self) -> bool {
        let settles = |finding: &Finding| finding.what.starts_with("lost") || finding.what == NO_POISON;
        !self.findings().iter().any(settles)
    }

    /// Dead letters beyond the first of an event: a copy that was confirmed when its original came again.
    pub(crate) fn repeated_letters(&self) -> usize {
        self.letters.values().map(|reasons| reasons.len() - 1).sum()
    }

    fn poison(&self, id: &str) -> Option<bool> {
        self.accepted.get(id).map(|one| one.poison).or_else(|| self.unanswered.get(id).copied())
    }

    /// Effects of ordered events that came after those of a later one of their key.
    fn overtaken(&self) -> Vec<String> {
        let mut last: HashMap<&str, i64> = HashMap::new();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut late = Vec::new();
        for effect in self.effects.iter().filter(|effect| effect.ordered) {
            // A second effect is found as such.
            if !seen.insert(&effect.event_id) {
                continue;
            }
            let last = last.entry(&effect.key).or_default();
            if effect.seq < *last {
                late.push(effect.event_id.as_str());
            }
            *last = effect.seq.max(*last);
        }
        collect(late.into_iter())
    }

    /// Events with more letters than their handlers let them die; what died of redeliveries has seen no handler.
    fn invented(&self) -> Vec<String> {
        let more = self.letters.iter().filter(|(id, reasons)| {
            let judged = reasons.iter().filter(|reason| ["rejected", "attempts"].contains(&reason.as_str()));
            judged.count() as u64 > self.deaths.get(*id).copied().unwrap_or_default()
        });
        collect(more.map(|(id, _)| id.as_str()))
    }
}

fn collect<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests;
