//! Connections by what they belong to: mostly one for each, and that one costs no set of its own.

use std::borrow::Borrow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::session::ConnId;

/// The connections of each user, or of each session. A key has one at least.
pub(super) struct Ids<K>(HashMap<K, Of>);

enum Of {
    One(ConnId),
    #[allow(clippy::box_collection, reason = "a set is twice the size of the one id that is there mostly")]
    Some(Box<HashSet<ConnId>>),
}

// === impl Ids ===

impl<K: Hash + Eq> Ids<K> {
    pub(super) fn insert(&mut self, key: K, id: ConnId) {
        match self.0.entry(key) {
            Entry::Vacant(entry) => _ = entry.insert(Of::One(id)),
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Of::Some(ids) => _ = ids.insert(id),
                Of::One(first) => {
                    let ids = HashSet::from([*first, id]);
                    entry.insert(Of::Some(Box::new(ids)));
                }
            },
        }
    }

    pub(super) fn remove<Q>(&mut self, key: &Q, id: ConnId)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let last = match self.0.get_mut(key) {
            Some(Of::Some(ids)) => {
                ids.remove(&id);
                ids.is_empty()
            }
            Some(Of::One(only)) => *only == id,
            None => false,
        };
        if last {
            self.0.remove(key);
        }
    }

    pub(super) fn count<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.0.get(key) {
            Some(Of::Some(ids)) => ids.len(),
            Some(Of::One(_)) => 1,
            None => 0,
        }
    }

    /// In no order.
    pub(super) fn of<Q>(&self, key: &Q) -> Vec<ConnId>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.0.get(key) {
            Some(Of::Some(ids)) => ids.iter().copied().collect(),
            Some(Of::One(id)) => vec![*id],
            None => Vec::new(),
        }
    }
}

impl<K> Default for Ids<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_comes_is_there_until_they_leave() {
        let [a, b, c] = [1, 2, 3].map(|number| ConnId(Uuid::from_u128(number)));
        let mut ids = Ids::default();
        for (steps, id) in [a, b, b, c].into_iter().enumerate() {
            ids.insert("ada", id);
            assert_eq!(ids.count("ada"), [1, 2, 2, 3][steps]);
        }
        ids.insert("bob", a);
        ids.remove("bob", b);
        assert_eq!(ids.of("bob"), [a], "another's leave is none of ours");
        for (id, left) in [(b, 2), (b, 2), (a, 1), (c, 0)] {
            ids.remove("ada", id);
            assert_eq!((ids.count("ada"), ids.of("ada").len()), (left, left));
        }
        ids.remove("bob", a);
        assert!(ids.0.is_empty(), "nothing is left of who left");
    }
}
