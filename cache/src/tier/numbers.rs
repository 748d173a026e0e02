//! Whether anything was missed: what is ended has numbers without gaps.

use crate::mark::Mark;
use crate::tier::Ending;

/// How far a feed was heard.
#[derive(Debug)]
pub(super) struct Numbers {
    last: Mark,
    /// What came before was not heard, and nobody was told that it was.
    begun: u64,
    /// The newest as of the last look, and how far was heard then.
    seen: Option<(Mark, Mark)>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// From before the beginning: known already.
    Old,
    Next,
    /// There was one before it that was not heard.
    Hole,
}

// === impl Numbers ===

impl Numbers {
    /// Begins behind `newest`.
    pub(super) fn new(newest: Mark) -> Self {
        Self { last: newest, begun: newest.number, seen: None }
    }

    pub(super) fn hear(&mut self, ending: &Ending, mark: Mark) -> Verdict {
        let same = mark.incarnation == self.last.incarnation;
        if same && mark.number <= self.begun {
            return Verdict::Old;
        }
        // Whatever was missed before everything ended has ended too.
        let next = matches!(ending, Ending::All) || same && mark.number == self.last.number.wrapping_add(1);
        if !next {
            return Verdict::Hole;
        }
        if !same {
            self.begun = 0;
            self.seen = None;
        }
        self.last = mark;
        Verdict::Next
    }

    /// Compares with what the tier's count was at a moment ago. What it was at when we looked last must have been heard by
    /// now, and what was heard by then must have been counted by now: true when it is not so.
    ///
    /// Only then: what is counted after a look may be heard before its answer has come.
    pub(super) fn is_behind(&mut self, newest: Mark) -> bool {
        let seen = self.seen.replace((newest, self.last));
        let behind = seen.is_some_and(|(seen, _)| !seen.is_within(self.last));
        // A count that went back is another one.
        let back = seen.is_some_and(|(_, heard)| {
            heard.incarnation == newest.incarnation && newest.number < heard.number
        });
        behind || back
    }
}

#[cfg(test)]
mod tests;
