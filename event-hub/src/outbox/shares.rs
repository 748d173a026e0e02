//! Who sends which partitions: each relay looks at what all have, and decides for itself.
//!
//! Nobody leads. A relay takes what is free up to its fair share, and gives up what is over it; since a
//! partition's lock has one holder, a decision on an old look costs a round and never an order.

use crate::outbox::parts::{PARTS, Parts};

/// What one relay sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// How many partitions each other relay has that shares the work.
    pub(crate) others: Vec<u32>,
    pub(crate) free: Parts,
}

/// What it does about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// Try to take these.
    pub(crate) take: Parts,
    /// Hand over so many.
    pub(crate) give: u32,
}

/// `held` without those that are being handed over. `start` is drawn, so that two do not try for the same ones.
pub(crate) fn plan(view: &View, held: Parts, start: u8) -> Plan {
    let relays = u32::try_from(view.others.len()).unwrap_or(u32::MAX).saturating_add(1);
    let (least, most) = (u32::from(PARTS) / relays, u32::from(PARTS).div_ceil(relays));
    let have = held.len();
    if have < most {
        let room = usize::try_from(most - have).unwrap_or(usize::MAX);
        let take = view.free.from(start).take(room).collect::<Parts>();
        if !take.is_empty() {
            return Plan { take, give: 0 };
        }
    }
    // Six, six and four are fair shares of three; five, five and six are fairer.
    let someone_short = view.free.is_empty() && view.others.iter().any(|others| *others < least);
    let give = match have.saturating_sub(most) {
        0 if someone_short && have > least => 1,
        over => over,
    };
    Plan { take: Parts::NONE, give }
}

#[cfg(test)]
mod tests;
