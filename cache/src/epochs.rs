//! What ends entries without a search: numbers that are raised, and stamps that remember them.

mod recent;
mod tags;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::DefaultHashBuilder;
use tokio::time::Instant;

use crate::mark::{Mark, MarkName};

pub(crate) use self::tags::{TagStamps, Tags};

/// The numbers of one cache.
pub(crate) struct Epochs {
    buckets: Box<[AtomicU32]>,
    hasher: DefaultHashBuilder,
    /// The cache as a whole.
    pub(crate) cell: Arc<Cell>,
}

/// A number, and what the shared tier has for it.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    epoch: AtomicU32,
    /// The tier's mark, in which [attachment](Cell::known) it was true, and when it was read or heard.
    mark: Mutex<Option<(Mark, u64, Instant)>>,
}

/// How the numbers stood when an answer was asked for. Taken before the first read, and carried by the entry: whatever
/// ends it meanwhile makes it a dead one, without a lock between the two.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    /// When it was taken, by the store's clock: as much of it as tells the times of one entry apart.
    pub(crate) at: u32,
    bucket: u32,
    bucket_epoch: u32,
    epoch: u32,
    tags: Option<Arc<TagStamps>>,
}

/// How many keys share a number is chance: of a million entries in memory, the end of one takes some sixty with it,
/// which are read again from the shared tier. 64 KiB for each cache.
const BUCKETS: usize = 16 * 1024;

// === impl Epochs ===

impl Epochs {
    pub(crate) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            hasher: DefaultHashBuilder::default(),
            cell: Arc::default(),
        }
    }

    /// `key` as it is written, how its tags stand, and when that is.
    #[allow(clippy::cast_possible_truncation, reason = "the low half of it")]
    pub(crate) fn stamp(&self, key: &str, tags: Option<Arc<TagStamps>>, at: u64) -> Stamp {
        let bucket = self.bucket(key);
        Stamp { at: at as u32, bucket, bucket_epoch: self.at(bucket), epoch: self.cell.epoch(), tags }
    }

    #[inline]
    pub(crate) fn is_current(&self, stamp: &Stamp) -> bool {
        self.at(stamp.bucket) == stamp.bucket_epoch
            && self.cell.epoch() == stamp.epoch
            && stamp.tags.as_ref().is_none_or(|tags| tags.are_current())
    }

    /// Ends whatever there is of this key.
    pub(crate) fn end(&self, key: &str) {
        if let Some(bucket) = self.buckets.get(self.bucket(key) as usize) {
            bucket.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Ends whatever there is of this key. What began with this stamp gets another one, unless something ended it too.
    pub(crate) fn end_others(&self, key: &str, stamp: Stamp) -> Option<Stamp> {
        let next = stamp.bucket_epoch.wrapping_add(1);
        let alone = self.buckets.get(stamp.bucket as usize).is_some_and(|bucket| {
            bucket.compare_exchange(stamp.bucket_epoch, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
        });
        if alone {
            return Some(Stamp { bucket_epoch: next, ..stamp });
        }
        self.end(key);
        None
    }

    #[allow(clippy::cast_possible_truncation, reason = "a remainder below 16,384")]
    fn bucket(&self, key: &str) -> u32 {
        (self.hasher.hash_one(key) % BUCKETS as u64) as u32
    }

    #[inline]
    fn at(&self, bucket: u32) -> u32 {
        self.buckets.get(bucket as usize).map_or(0, |bucket| bucket.load(Ordering::Acquire))
    }
}

// === impl Cell ===

impl Cell {
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Ends what carries it. `mark` is what was heard that the tier has for it, and in which attachment; none when it
    /// is ended here, or nothing is known.
    ///
    /// What is heard is behind what is done here and what was read. So it moves a known mark on, and makes none known:
    /// it may be from before an ending of our own.
    pub(crate) fn end(&self, mark: Option<(Mark, u64)>) {
        let mut known = self.lock();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        *known = match (*known, mark) {
            (Some((read, at, since)), Some((heard, attachment))) if at == attachment => {
                Some(if heard.is_within(read) { (read, at, since) } else { (heard, at, Instant::now()) })
            }
            _ => None,
        };
    }

    /// The tier's mark, when it is known in this attachment: the feed tells of every change since. It is read again
    /// when that was so long ago, so that the tier does not forget it.
    pub(crate) fn known(&self, attachment: u64, life: Duration) -> Option<Mark> {
        let (mark, at, since) = (*self.lock())?;
        (at == attachment && since.elapsed() < life).then_some(mark)
    }

    /// Not this mark: the tier may have another one without a word, one that it made when it had lost this one.
    pub(crate) fn doubt(&self, mark: Mark) {
        self.lock().take_if(|(known, ..)| *known == mark);
    }

    /// Remembers a mark that was read, unless something ended since its epoch was `epoch`.
    pub(crate) fn learn(&self, mark: Mark, attachment: u64, epoch: u32) {
        let mut known = self.lock();
        if self.epoch() == epoch {
            *known = Some((mark, attachment, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Mark, u64, Instant)>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Stamp ===

impl Stamp {
    /// The same moment, for an entry with these tags.
    pub(crate) fn with_tags(mut self, tags: Option<Arc<TagStamps>>) -> Self {
        self.tags = tags;
        self
    }

    pub(crate) fn tags(&self) -> Option<&Arc<TagStamps>> {
        self.tags.as_ref()
    }

    /// Whether what has this stamp ends with each of these.
    pub(crate) fn carries(&self, names: &[MarkName]) -> bool {
        let carried =
            |name: &MarkName| self.tags.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag.name == *name));
        names.iter().all(carried)
    }
}

#[cfg(test)]
mod tests;
