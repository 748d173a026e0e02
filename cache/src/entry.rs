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
    /// Until this age, in ms, there is nothing to do by the cache's own policy. Where it [`RESTS`]: until which no load
    /// is tried.
    refresh: u32,
    /// Until this age it is fresh.
    fresh: u32,
    /// Until this age it may be answered though it is old.
    stale: u32,
    /// How long its load took, in ms, and beside it whether the load itself said how long it lives, [`OWN`], whether a later
    /// one is put off, [`RESTS`], and whether that is since one failed, [`FAILED`].
    load: u32,
    /// Of the value.
    pub(crate) weight: u32,
    /// Of its key and its tags.
    pub(crate) beside: u32,
}

const _: () = assert!(size_of::<Entry<()>>() <= 64, "one cache line");

/// The lives of a new entry, in ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lives {
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    /// How much of them is over.
    pub(crate) age: u64,
    /// How long the load took.
    pub(crate) load: u32,
    /// By the load itself, whatever the policies say.
    pub(crate) own: bool,
}

/// Bits beside a time of 6 days.
const OWN: u32 = 1 << 31;
const RESTS: u32 = 1 << 30;
const FAILED: u32 = 1 << 29;
const TOOK: u32 = FAILED - 1;

// === impl Lives ===

impl Lives {
    /// Of what was loaded or written just now; none when it is not to be kept. `some`: that there is something; `own`: what
    /// came with it of its `ttl` and its `stale_for`; `max`: the store's bound of both together.
    pub(crate) fn of(
        policy: &Policy,
        some: bool,
        (ttl, stale_for): (Option<Duration>, Option<Duration>),
        load: Duration,
        max: Duration,
    ) -> Option<Self> {
        let usual = if some { policy.ttl } else { policy.negative_ttl.unwrap_or_default() };
        let fresh = policy.draw(ttl.unwrap_or(usual), max)?;
        // That there was nothing is never answered as something old.
        let stale = if some { policy.stale(stale_for) } else { 0 };
        Some(Self {
            fresh,
            stale: stale.min(millis(max).saturating_sub(fresh)),
            age: 0,
            load: small(millis(load)),
            own: ttl.is_some(),
        })
    }
}

// === impl Entry ===

impl<V> Entry<V> {
    /// In a cache whose own policy is `usual`, whoever keeps it: a hit by that looks no further than
    /// [`is_young`](Self::is_young).
    pub(crate) fn new(
        value: Option<Arc<V>>,
        lives: Lives,
        weight: usize,
        stamp: Stamp,
        usual: &Policy,
        now: u64,
    ) -> Self {
        let Lives { fresh, stale, age, load, own } = lives;
        let load = load.min(TOOK);
        let mut entry = Self {
            value,
            stamp,
            born: signed(now) - signed(age),
            refresh: 0,
            fresh: small(fresh),
            stale: small(fresh.saturating_add(stale)),
            load: if own { load | OWN } else { load },
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            beside: 0,
        };
        entry.refresh = small(entry.starts(usual));
        entry
    }

    /// In ms.
    #[inline]
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_add_signed(-self.born)
    }

    /// Fresh by the usual policy, and nothing of it is due.
    #[inline]
    pub(crate) fn is_young(&self, usual: &Policy, now: u64) -> bool {
        if self.load & RESTS == 0 {
            self.age(now) < u64::from(self.refresh)
        } else {
            // The load that failed was tried by another policy: it is no nearer to its end by this one.
            self.is_young_by(usual, now)
        }
    }

    /// The same by this policy.
    pub(crate) fn is_young_by(&self, policy: &Policy, now: u64) -> bool {
        self.age(now) < self.starts(policy)
    }

    pub(crate) fn is_fresh(&self, policy: &Policy, now: u64) -> bool {
        self.age(now) < self.fresh_by(policy)
    }

    /// Until which age it is fresh: as long as whoever kept it said, and no longer than who asks says.
    fn fresh_by(&self, policy: &Policy) -> u64 {
        let most = if self.load & OWN != 0 { u64::MAX } else { policy.limit(self.value.is_some()) };
        u64::from(self.fresh).min(most)
    }

    /// From which age on it may be time to load it anew: of the life that it has by this policy.
    fn starts(&self, policy: &Policy) -> u64 {
        policy.refresh.starts(self.fresh_by(policy), self.load & TOOK)
    }

    /// Whether it is time to load it anew, fresh as it is.
    pub(crate) fn is_due(&self, policy: &Policy, now: u64) -> bool {
        let age = self.age(now);
        let left = self.fresh_by(policy).saturating_sub(age);
        age >= self.starts(policy) && !self.rests(now) && policy.refresh.is_due(left, self.load & TOOK)
    }

    /// Whether this policy lets it be answered, be it old.
    pub(crate) fn is_served(&self, policy: &Policy, now: u64) -> bool {
        // That there was nothing is never answered as something old.
        let over = policy.stale_for.filter(|_| self.value.is_some()).map_or(0, millis);
        let stale = self.fresh_by(policy).saturating_add(over);
        self.age(now) < u64::from(self.stale).min(stale)
    }

    /// Whether any policy could let it be answered.
    pub(crate) fn lives(&self, now: u64) -> bool {
        self.age(now) < u64::from(self.stale)
    }

    /// Whether a load failed that is not to be tried again yet, or is left to another process for now.
    pub(crate) fn rests(&self, now: u64) -> bool {
        self.load & RESTS != 0 && self.age(now) < u64::from(self.refresh)
    }

    /// Lets it be for a while: it is neither loaded nor asked for before. For whom it is fresh it stays so.
    pub(crate) fn defer(&mut self, now: u64, policy: &Policy) {
        self.refresh = small(self.age(now).saturating_add(millis(policy.retry_after)));
        self.load = self.load & !FAILED | RESTS;
    }

    /// The same since a load of it failed.
    pub(crate) fn defer_failed(&mut self, now: u64, policy: &Policy) {
        self.defer(now, policy);
        self.load |= FAILED;
    }

    /// As what it is answered while it [rests](Self::rests), old as it is.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.load & FAILED == 0 { Outcome::Stale } else { Outcome::StaleIfError }
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
