//! What memory holds, and what ends it without a search.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Tag;

/// One answer.
#[derive(Debug)]
pub(crate) struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    pub(crate) weight: u64,
    filled: Instant,
    expires: Instant,
    stamps: Stamps,
}

/// The epochs at which an answer was asked for: of everything, and of each of its tags.
///
/// Taken before the first read, so that an invalidation in between makes the entry a dead one.
#[derive(Clone, Debug)]
pub(crate) struct Stamps(Box<[(Arc<AtomicU64>, u64)]>);

/// The current epochs. A tag's lives as long as an entry or a load that carries it.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    all: Arc<AtomicU64>,
    tags: Mutex<Tags>,
}

#[derive(Debug, Default)]
struct Tags {
    cells: HashMap<Tag, Weak<AtomicU64>>,
    /// How many cells there may be before the dead ones are swept out.
    sweep_at: usize,
}

/// What an entry costs beside its value and key: the table's slots, the stamps, two counted pointers.
const OVERHEAD: u64 = 160;

// === impl Entry ===

impl Entry {
    pub(crate) fn new(value: Arc<dyn Any + Send + Sync>, size: usize, ttl: Duration, stamps: Stamps) -> Self {
        let now = Instant::now();
        Self { value, weight: size as u64 + OVERHEAD, filled: now, expires: now + ttl, stamps }
    }

    /// The value, when it still counts; `max_age` bounds it further.
    pub(crate) fn value<T: Clone + 'static>(&self, max_age: Option<Duration>) -> Option<T> {
        let now = Instant::now();
        let fresh = now < self.expires && max_age.is_none_or(|max| now.duration_since(self.filled) < max);
        if !fresh || !self.stamps.are_current() {
            return None;
        }
        self.value.downcast_ref::<T>().cloned()
    }
}

// === impl Stamps ===

impl Stamps {
    pub(crate) fn are_current(&self) -> bool {
        self.0.iter().all(|(cell, at)| cell.load(Ordering::Acquire) == *at)
    }
}

// === impl Epochs ===

impl Epochs {
    pub(crate) fn stamps(&self, tags: &[Tag]) -> Stamps {
        let stamp = |cell: Arc<AtomicU64>| {
            let at = cell.load(Ordering::Acquire);
            (cell, at)
        };
        let mut stamps = Vec::with_capacity(tags.len() + 1);
        stamps.push(stamp(self.all.clone()));
        if !tags.is_empty() {
            let mut known = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
            stamps.extend(tags.iter().map(|tag| stamp(known.cell(tag))));
        }
        Stamps(stamps.into())
    }

    /// Ends every entry and load that carries the tag. A tag that nobody carries has nothing to end.
    pub(crate) fn end_tag(&self, tag: &Tag) {
        let known = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = known.cells.get(tag).and_then(Weak::upgrade) {
            cell.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn end_all(&self) {
        self.all.fetch_add(1, Ordering::AcqRel);
    }
}

// === impl Tags ===

impl Tags {
    fn cell(&mut self, tag: &Tag) -> Arc<AtomicU64> {
        if let Some(cell) = self.cells.get(tag).and_then(Weak::upgrade) {
            return cell;
        }
        if self.cells.len() >= self.sweep_at {
            self.cells.retain(|_, cell| cell.strong_count() > 0);
            // Twice what lives: each sweep is paid for by as many new tags.
            self.sweep_at = (self.cells.len() * 2).max(1024);
        }
        let cell = Arc::new(AtomicU64::new(0));
        self.cells.insert(tag.clone(), Arc::downgrade(&cell));
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_between_question_and_answer_kills_the_entry() {
        let epochs = Epochs::default();
        let tag = Tag::new("t", &["1"]).unwrap();
        let entry = |stamps| Entry::new(Arc::new(7_u32), 1, Duration::from_secs(9), stamps);
        let before = epochs.stamps(std::slice::from_ref(&tag));
        epochs.end_tag(&tag);
        assert_eq!(entry(before).value::<u32>(None), None);
        let alive = entry(epochs.stamps(std::slice::from_ref(&tag)));
        assert_eq!(alive.value::<u32>(None), Some(7));
        assert_eq!(alive.value::<u64>(None), None, "another type is a miss");
        epochs.end_all();
        assert_eq!(alive.value::<u32>(None), None);
    }

    #[test]
    fn tags_that_nobody_carries_take_no_room() {
        let epochs = Epochs::default();
        for n in 0..10_000 {
            drop(epochs.stamps(&[Tag::new("t", &[n.to_string()]).unwrap()]));
        }
        assert!(epochs.tags.lock().unwrap().cells.len() <= 1024);
    }
}
