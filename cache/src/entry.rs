//! What memory holds.

use std::sync::Arc;

use crate::epochs::Stamp;
use crate::policy::Policy;

/// One answer. Times are by the store's [`Clock`](crate::Clock), in ms.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    /// None: that there is nothing.
    pub(crate) value: Option<Arc<V>>,
    /// From here on it may be time to load anew.
    pub(crate) refresh_from: u64,
    pub(crate) fresh_until: u64,
    pub(crate) stale_until: u64,
    /// A load that failed is not tried again before.
    pub(crate) retry_at: u64,
    /// How long its load took, in ms.
    pub(crate) load: u32,
    /// Of the value.
    pub(crate) weight: u32,
    /// Of its key and its tags.
    pub(crate) beside: u32,
    pub(crate) stamp: Stamp,
}

/// The lives of a new entry, in ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lives {
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    /// How much of them is over.
    pub(crate) age: u64,
    pub(crate) load: u32,
}

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
        let Lives { fresh, stale, age, load } = lives;
        let at = |life: u64| (now + life).saturating_sub(age);
        Self {
            value,
            refresh_from: at(policy.refresh.starts(fresh, load)),
            fresh_until: at(fresh),
            stale_until: at(fresh.saturating_add(stale)),
            retry_at: 0,
            load,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            beside: 0,
            stamp,
        }
    }

    /// Until when this policy lets it be answered though it is old.
    pub(crate) fn served_until(&self, policy: &Policy) -> u64 {
        let stale = policy.stale_for.map_or(0, crate::clock::millis);
        self.stale_until.min(self.fresh_until.saturating_add(stale))
    }
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), stamp: self.stamp.clone(), ..*self }
    }
}
