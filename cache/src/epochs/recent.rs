//! Which tags ended of late.

use std::collections::VecDeque;

use crate::mark::MarkName;

/// The last endings, for loads that say only at their end which tags they have.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    moment: u64,
    /// With the moment that each made.
    ended: VecDeque<(u64, MarkName)>,
    /// Of this moment and before, nothing is known any more.
    forgotten: u64,
}

/// A thousand a second for the time of a slow load.
const KEPT: usize = 4096;

// === impl Recent ===

impl Recent {
    pub(crate) fn moment(&self) -> u64 {
        self.moment
    }

    pub(crate) fn add(&mut self, name: &MarkName) {
        self.moment += 1;
        self.ended.push_back((self.moment, name.clone()));
        if self.ended.len() > KEPT
            && let Some((moment, _)) = self.ended.pop_front()
        {
            self.forgotten = moment;
        }
    }

    /// The first time since then.
    pub(crate) fn ended_since(&self, moment: u64, name: &MarkName) -> Option<u64> {
        if self.forgotten > moment {
            return Some(moment + 1);
        }
        let since = self.ended.partition_point(|(at, _)| *at <= moment);
        self.ended.range(since..).find(|(_, ended)| ended == name).map(|(at, _)| *at)
    }
}
