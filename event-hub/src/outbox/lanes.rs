//! Which loaded row may go next.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::outbox::parts::Parts;
use crate::outbox::store::Row;

/// Rows in memory. A key's rows go one at a time, in order; rows without a key have no order.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// How many rows of one key are held: one long lane must not take all the room.
    bound: usize,
    loaded: BTreeMap<i64, Row>,
    /// Rows of each key, and whether one of it is out.
    lanes: HashMap<String, Lane>,
    /// Loaded rows that nothing holds back.
    ready: BTreeSet<i64>,
    /// Rows that are out.
    out: HashMap<i64, Out>,
    /// Whether a lane that may have more rows in the table has room again.
    ran_low: bool,
}

#[derive(Debug)]
struct Out {
    key: Option<String>,
    part: u8,
}

#[derive(Debug, Default)]
struct Lane {
    rows: BTreeSet<i64>,
    busy: bool,
}

// === impl Lanes ===

impl Lanes {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(1),
            loaded: BTreeMap::new(),
            lanes: HashMap::new(),
            ready: BTreeSet::new(),
            out: HashMap::new(),
            ran_low: false,
        }
    }

    /// How many rows of one key it holds.
    pub(crate) fn bound(&self) -> usize {
        self.bound
    }

    /// How many rows are loaded and not out.
    pub(crate) fn len(&self) -> usize {
        self.loaded.len()
    }

    /// Takes a loaded row in; false when its key has enough and it is left in the table.
    pub(crate) fn add(&mut self, row: Row) -> bool {
        if self.out.contains_key(&row.seq) || self.loaded.contains_key(&row.seq) {
            return true;
        }
        let seq = row.seq;
        match &row.key {
            None => {
                self.ready.insert(seq);
            }
            Some(key) => {
                let lane = self.lanes.entry(key.clone()).or_default();
                if lane.rows.len() >= self.bound {
                    return false;
                }
                let first = lane.rows.first().copied();
                lane.rows.insert(seq);
                // A transaction that committed late may bring the new first one.
                if !lane.busy && first.is_none_or(|first| seq < first) {
                    if let Some(first) = first {
                        self.ready.remove(&first);
                    }
                    self.ready.insert(seq);
                }
            }
        }
        self.loaded.insert(seq, row);
        true
    }

    /// Takes the next row out: the oldest, or the one that was tried least.
    pub(crate) fn take(&mut self, least_tried: bool) -> Option<Row> {
        let seq = if least_tried {
            self.ready.iter().min_by_key(|seq| self.loaded.get(seq).map(|row| row.attempts)).copied()?
        } else {
            self.ready.first().copied()?
        };
        self.ready.remove(&seq);
        let row = self.loaded.remove(&seq)?;
        if let Some(lane) = row.key.as_ref().and_then(|key| self.lanes.get_mut(key)) {
            lane.rows.remove(&seq);
            lane.busy = true;
            self.ran_low |= lane.rows.len() == self.bound / 2;
        }
        self.out.insert(seq, Out { key: row.key.clone(), part: row.part });
        Some(row)
    }

    /// The row is off the table's waiting ones: the next of its key may go.
    pub(crate) fn done(&mut self, seq: i64) {
        let Some(Out { key: Some(key), .. }) = self.out.remove(&seq) else { return };
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.busy = false;
        match lane.rows.first() {
            Some(next) => {
                self.ready.insert(*next);
            }
            None => {
                self.lanes.remove(&key);
            }
        }
    }

    /// The row failed: it and the later ones of its key come back with a later load.
    pub(crate) fn hold(&mut self, seq: i64) {
        let Some(Out { key: Some(key), .. }) = self.out.remove(&seq) else { return };
        let Some(lane) = self.lanes.remove(&key) else { return };
        for seq in lane.rows {
            self.loaded.remove(&seq);
            self.ready.remove(&seq);
        }
    }

    /// Whether a long lane has room again, since the last call.
    pub(crate) fn ran_low(&mut self) -> bool {
        std::mem::take(&mut self.ran_low)
    }

    /// Forgets what is not out, of some partitions.
    pub(crate) fn forget(&mut self, parts: Parts) {
        self.loaded.retain(|_, row| !parts.contains(row.part));
        let loaded = &self.loaded;
        self.ready.retain(|seq| loaded.contains_key(seq));
        self.lanes.retain(|_, lane| {
            lane.rows.retain(|seq| loaded.contains_key(seq));
            lane.busy || !lane.rows.is_empty()
        });
    }

    /// Forgets what is not out.
    pub(crate) fn clear(&mut self) {
        self.loaded.clear();
        self.ready.clear();
        self.lanes.retain(|_, lane| {
            lane.rows.clear();
            lane.busy
        });
    }

    /// How many rows of a partition are out.
    pub(crate) fn out_of(&self, part: u8) -> usize {
        self.out.values().filter(|out| out.part == part).count()
    }

    /// Every row that is in memory or out.
    pub(crate) fn rows(&self) -> Vec<i64> {
        self.loaded.keys().chain(self.out.keys()).copied().collect()
    }

    /// The keys that have no room for more rows, or are nearly there.
    pub(crate) fn full_keys(&self) -> Vec<String> {
        // From half full on: loading one row at a time of a long lane would cost a statement each.
        self.lanes
            .iter()
            .filter(|(_, lane)| lane.rows.len() > self.bound / 2)
            .map(|(key, _)| key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests;
