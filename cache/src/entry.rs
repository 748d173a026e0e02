//! What memory holds.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, Outcome};
use crate::clock::millis;
use crate::epochs::Stamp;
use crate::policy::Policy;

/// One answer. A hit copies it out of memory, so that it has the size of one cache line.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    /// None: that there is nothing.
    pub(crate) value: Option<Arc<V>>,
    pub(crate) stamp: Stamp,
    /// When it was loaded or written, here or by another process, in ms by the store's [`Clock`](crate::Clock): before
    /// its start for what is older than that.
    born: i64,
    /// From this age on, in ms, it may be time to load anew; beyond `fresh` when a load failed and is not to be tried
    /// again before.
    refresh: u32,
    /// Until this age it is fresh.
    fresh: u32,
    /// Until this age it may be answered though it is old.
    stale: u32,
    /// How long its load took, in ms, and whether the load itself said how long it lives: [`OWN`].
    load: u32,
    /// Of the value.
    pub(crate) weight: u32,
    /// Of its key and its tags.
    pub(crate) beside: u32,
}

const _: () = assert!(size_of::<Entry<()>>() == 64, "one cache line");

/// The lives of a new entry, in ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lives {
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    /// How much of them is over.
    pub(crate) age: u64,
    pub(crate) load: u32,
    /// By the load itself, whatever the policies say.
    pub(crate) own: bool,
}

/// A bit beside a time of 24 days.
const OWN: u32 = 1 << 31;

// === impl Entry ===

impl<V> Entry<V> {
    pub(crate) fn new(
        value: Option<Arc<V>>,
        lives: Lives,
        weight: usize,
        stamp: Stamp,
        policy: &Policy,
        now: u64,
    ) -> Self {
        let Lives { fresh, stale, age, load, own } = lives;
        let load = load.min(OWN - 1);
        Self {
            value,
            stamp,
            born: signed(now) - signed(age),
            refresh: small(policy.refresh.starts(fresh, load)),
            fresh: small(fresh),
            stale: small(fresh.saturating_add(stale)),
            load: if own { load | OWN } else { load },
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            beside: 0,
        }
    }

    /// In a cache with this policy: a hit by that looks no further than [`is_young`](Self::is_young).
    pub(crate) fn in_cache_of(mut self, usual: &Policy) -> Self {
        self.refresh = self.refresh.min(small(self.fresh_by(usual)));
        self
    }

    /// In ms.
    #[inline]
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_add_signed(-self.born)
    }

    /// Fresh by the usual policy, and nothing of it is due.
    #[inline]
    pub(crate) fn is_young(&self, now: u64) -> bool {
        self.age(now) < u64::from(self.refresh.min(self.fresh))
    }

    /// The same by this policy.
    pub(crate) fn is_young_by(&self, policy: &Policy, now: u64) -> bool {
        self.age(now) < self.fresh_by(policy).min(u64::from(self.refresh))
    }

    pub(crate) fn is_fresh(&self, policy: &Policy, now: u64) -> bool {
        self.age(now) < self.fresh_by(policy)
    }

    /// Until which age it is fresh: as long as whoever kept it said, and no longer than who asks says.
    fn fresh_by(&self, policy: &Policy) -> u64 {
        let most = if self.load & OWN != 0 { u64::MAX } else { policy.limit(self.value.is_some()) };
        u64::from(self.fresh).min(most)
    }

    /// Whether it is time to load it anew, fresh as it is.
    pub(crate) fn is_due(&self, policy: &Policy, now: u64) -> bool {
        let age = self.age(now);
        age >= u64::from(self.refresh)
            && policy.refresh.is_due(self.fresh_by(policy).saturating_sub(age), self.load & !OWN)
    }

    /// Whether this policy lets it be answered, be it old.
    pub(crate) fn is_served(&self, policy: &Policy, now: u64) -> bool {
        let stale = self.fresh_by(policy).saturating_add(policy.stale_for.map_or(0, millis));
        self.age(now) < u64::from(self.stale).min(stale)
    }

    /// Whether a load failed that is not to be tried again yet.
    pub(crate) fn rests(&self, now: u64) -> bool {
        self.refresh > self.fresh && self.age(now) < u64::from(self.refresh)
    }

    /// Lets it be for a while: it is neither loaded nor asked for before.
    pub(crate) fn defer(&mut self, now: u64, policy: &Policy) {
        let until = self.age(now).saturating_add(millis(policy.retry_after));
        // It is old for this policy: for the others too, by now.
        self.fresh = self.fresh.min(small(self.fresh_by(policy)));
        self.refresh = self.refresh.max(small(until));
    }

    /// When it is fresh no more, by the store's clock in ms.
    pub(crate) fn ends(&self) -> i64 {
        self.born.saturating_add(i64::from(self.fresh))
    }

    pub(crate) fn answer(&self, outcome: Outcome, now: u64) -> Answer<V> {
        Answer { value: self.value.clone(), outcome, age: Duration::from_millis(self.age(now)) }
    }
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), stamp: self.stamp.clone(), ..*self }
    }
}

/// Lives are bounded far below it, by [`LONGEST`](crate::store).
fn small(life: u64) -> u32 {
    u32::try_from(life).unwrap_or(u32::MAX)
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
