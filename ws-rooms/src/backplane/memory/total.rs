//! What all shards keep together.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes of all shards, and when the oldest event of each came: who has to give something up can be found without
/// a lock on the others.
pub(super) struct Total {
    start: Instant,
    bytes: AtomicUsize,
    bound: usize,
    /// One per shard, in milliseconds since `start`.
    oldest: Box<[AtomicU64]>,
}

/// A shard that keeps nothing.
const NONE: u64 = u64::MAX;

// === impl Total ===

impl Total {
    pub(super) fn new(shards: usize, bound: usize) -> Self {
        Self {
            start: Instant::now(),
            bytes: AtomicUsize::new(0),
            bound,
            oldest: (0..shards).map(|_| AtomicU64::new(NONE)).collect(),
        }
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Says when the oldest event of a shard came.
    pub(super) fn announce(&self, shard: usize, oldest: Option<Instant>) {
        let since = |at: Instant| millis(at.saturating_duration_since(self.start));
        self.oldest[shard].store(oldest.map_or(NONE, since), Ordering::Relaxed);
    }

    /// The shard with the oldest event of all, while there is too much.
    pub(super) fn too_much(&self) -> Option<usize> {
        if self.bytes() <= self.bound {
            return None;
        }
        let times = self.oldest.iter().map(|at| at.load(Ordering::Relaxed)).enumerate();
        let (shard, at) = times.min_by_key(|(_, at)| *at)?;
        (at != NONE).then_some(shard)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NONE - 1)
}
