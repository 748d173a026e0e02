//! Whether anything was missed: what is ended has numbers without gaps.

use crate::mark::Mark;
use crate::tier::Ending;

/// How far a feed was heard.
#[derive(Debug)]
pub(super) struct Numbers {
    last: Mark,
    /// What came before was not heard, and nobody was told that it was.
    begun: u64,
    /// The last look.
    seen: Option<Seen>,
}

/// One look at the tier's count.
#[derive(Clone, Copy, Debug)]
struct Seen {
    newest: Mark,
    /// How far was heard when it was answered.
    heard: Mark,
    asked: u64,
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

/// What a look at the tier's count says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Look {
    /// Something was missed.
    Behind,
    /// Nothing is known to be missing, and what was counted may be on its way.
    Unsure,
    /// Everything was heard that was ended before this moment.
    Whole(u64),
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

    /// Compares with what the tier's count was at, asked at this moment. What it was at when we looked last must have been
    /// heard by now, and what was heard by then must have been counted by now: else something was missed.
    ///
    /// Only then: what is counted after a look may be heard before its answer has come.
    pub(super) fn look(&mut self, newest: Mark, asked: u64) -> Look {
        let Some(seen) = self.seen.replace(Seen { newest, heard: self.last, asked }) else {
            return Look::Unsure;
        };
        // A count that went back is another one.
        let back = seen.heard.incarnation == newest.incarnation && newest.number < seen.heard.number;
        if back || !seen.newest.is_within(self.last) {
            Look::Behind
        } else if newest.is_within(self.last) {
            Look::Whole(asked)
        } else {
            Look::Whole(seen.asked)
        }
    }
}

#[cfg(test)]
mod tests;
