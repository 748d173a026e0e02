//! One queue of the embedded broker.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::driver::Verdict;
use crate::health::QueueStats;
use crate::memory::lineage::Share;
use crate::message::Message;
use crate::topology;

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) declared: topology::Queue,
    /// In order of their numbers, so that what comes back stands where it stood.
    ready: VecDeque<(u64, Stored)>,
    /// By number: the consumer that has it, and the copy.
    unacknowledged: HashMap<u64, (u64, Stored), BuildHasherDefault<Numbers>>,
    next_place: u64,
    /// Those that sit here, in order of arrival.
    consumers: Vec<u64>,
    pub(crate) exclusive: bool,
    /// A work queue's free places; a feed has none and drops the oldest.
    pub(crate) places: Option<Arc<Semaphore>>,
    /// Wakes a waiting subscription; half of the wait in `subscriber`.
    pub(crate) wake: Arc<Notify>,
    dropped: u64,
    /// Since when nobody consumes.
    pub(crate) idle_since: Instant,
}

/// One copy of a message.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) message: Arc<Message>,
    pub(crate) returns: u32,
    pub(crate) redelivered: bool,
    pub(crate) expires: Option<Instant>,
    pub(crate) place: Place,
    /// Absent in feeds.
    pub(crate) share: Option<Share>,
}

/// The place that a copy takes up.
#[derive(Debug, Default)]
pub(crate) enum Place {
    /// None: in a feed, or back from the delays.
    #[default]
    Nowhere,
    /// In its own queue. It is for the queue to free it, many at once: see [`settle`].
    Here,
    /// In the queue that the broker has moved it from.
    #[allow(dead_code, reason = "held, not read: the place is free again when the copy goes")]
    Elsewhere(Lent),
}

/// A place in another queue, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Lent(Arc<Semaphore>);

/// Whom to wake for what was put into a queue: when the lock is free, since they need it.
#[derive(Debug)]
pub(crate) struct Wake {
    notify: Arc<Notify>,
    single_active_consumer: bool,
}

/// Hashes numbers that count upwards: they are nobody's choice, and differ enough.
#[derive(Default)]
struct Numbers(u64);

// === impl Queue ===

impl Queue {
    pub(crate) fn new(declared: topology::Queue, capacity: usize) -> Self {
        let capacity = declared.max_length.unwrap_or(capacity).clamp(1, Semaphore::MAX_PERMITS);
        let places = (!declared.is_feed()).then(|| Arc::new(Semaphore::new(capacity)));
        Self {
            declared,
            ready: VecDeque::new(),
            unacknowledged: HashMap::default(),
            next_place: 0,
            consumers: Vec::new(),
            exclusive: false,
            places,
            wake: Arc::new(Notify::new()),
            dropped: 0,
            idle_since: Instant::now(),
        }
    }

    pub(crate) fn has_consumers(&self) -> bool {
        !self.consumers.is_empty()
    }

    pub(crate) fn enter(&mut self, consumer: u64) {
        self.consumers.push(consumer);
    }

    pub(crate) fn leave(&mut self, consumer: u64) {
        self.consumers.retain(|other| *other != consumer);
        self.idle_since = Instant::now();
        // The next may be active now.
        self.wake();
    }

    /// Wakes whoever may take.
    fn wake(&self) {
        self.waker().wake();
    }

    pub(crate) fn waker(&self) -> Wake {
        let single_active_consumer = self.declared.single_active_consumer;
        Wake { notify: Arc::clone(&self.wake), single_active_consumer }
    }

    /// Adds a copy at the end, and leaves it to the caller to wake someone. True when it is the first here that will
    /// expire.
    pub(crate) fn push(&mut self, message: Arc<Message>, place: Place) -> bool {
        let feed = self.places.is_none();
        let share = if feed { None } else { message.lineage.as_ref().map(crate::memory::Lineage::share) };
        let expires = self.declared.message_ttl.map(|ttl| Instant::now() + ttl);
        let sooner = expires.is_some() && self.ready.is_empty();
        let stored = Stored { message, returns: 0, redelivered: false, expires, place, share };
        self.ready.push_back((self.next_place, stored));
        self.next_place += 1;
        if feed && self.declared.max_length.is_some_and(|max| self.ready.len() > max) {
            self.ready.pop_front();
            self.dropped += 1;
        }
        sooner
    }

    /// Gives the next messages to a consumer, `most` at most.
    pub(crate) fn take(&mut self, consumer: u64, most: usize, mut give: impl FnMut(u64, &Stored)) {
        if self.declared.single_active_consumer && self.consumers.first() != Some(&consumer) {
            return;
        }
        for _ in 0..most {
            let Some((tag, stored)) = self.ready.pop_front() else { break };
            give(tag, &stored);
            self.unacknowledged.insert(tag, (consumer, stored));
        }
        if !self.ready.is_empty() {
            // Another subscription may have room for the rest.
            self.wake();
        }
    }

    pub(crate) fn is_out(&self, tag: u64) -> bool {
        self.unacknowledged.contains_key(&tag)
    }

    /// Takes out what is acknowledged, for [`settle`]. None when it is not out.
    pub(crate) fn acknowledge(&mut self, tag: u64) -> Option<Stored> {
        self.unacknowledged.remove(&tag).map(|(_, stored)| stored)
    }

    /// Puts a delivery back where it stood; gives it to the caller when that was too often.
    pub(crate) fn give_back(&mut self, tag: u64, verdict: Verdict) -> Option<Stored> {
        let (_, mut stored) = self.unacknowledged.remove(&tag)?;
        if verdict == Verdict::Fail {
            stored.returns += 1;
        }
        stored.redelivered = true;
        if self.declared.delivery_limit.is_some_and(|limit| stored.returns > limit) {
            self.lend(&mut stored);
            return Some(stored);
        }
        let at = self.ready.partition_point(|(other, _)| *other < tag);
        self.ready.insert(at, (tag, stored));
        self.wake();
        None
    }

    /// What a consumer has not settled, in order.
    pub(crate) fn held_by(&self, consumer: u64) -> Vec<u64> {
        let held = self.unacknowledged.iter().filter(|(_, (owner, _))| *owner == consumer);
        let mut tags: Vec<u64> = held.map(|(tag, _)| *tag).collect();
        tags.sort_unstable();
        tags
    }

    /// Takes the first message if its time is over.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Stored> {
        if self.ready.front()?.1.expires.is_none_or(|at| at > now) {
            return None;
        }
        let (_, mut stored) = self.ready.pop_front()?;
        self.lend(&mut stored);
        Some(stored)
    }

    /// What leaves the queue unsettled takes its place along.
    fn lend(&self, stored: &mut Stored) {
        if let (Place::Here, Some(places)) = (&stored.place, &self.places) {
            stored.place = Place::Elsewhere(Lent(Arc::clone(places)));
        }
    }

    /// When the clock must look again.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let message = self.ready.front().and_then(|(_, stored)| stored.expires);
        let queue =
            self.declared.expires.filter(|_| self.consumers.is_empty()).map(|after| self.idle_since + after);
        [message, queue].into_iter().flatten().min()
    }

    /// Whether nobody has wanted it for as long as it lives.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.consumers.is_empty() && self.declared.expires.is_some_and(|after| self.idle_since + after <= now)
    }

    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            name: self.declared.name.clone(),
            messages: self.ready.len() as u64,
            unacknowledged: self.unacknowledged.len() as u64,
            consumers: self.consumers.len() as u64,
            dropped: self.dropped,
        }
    }
}

// === impl Lent ===

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

// === impl Wake ===

impl Wake {
    pub(crate) fn is_for(&self, queue: &Queue) -> bool {
        Arc::ptr_eq(&self.notify, &queue.wake)
    }

    pub(crate) fn wake(&self) {
        if self.single_active_consumer {
            // Only one of them may, and we cannot choose whom a single call would wake.
            self.notify.notify_waiters();
        } else {
            self.notify.notify_one();
        }
    }
}

// === impl Numbers ===

impl Hasher for Numbers {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 over the golden ratio: neighbours come far apart, in the upper bits and the lower ones (Knuth,
        // The Art of Computer Programming, volume 3, section 6.4).
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Tells the receipts of what was acknowledged in a queue of these places, and frees the places at once: whoever waits
/// for room then finds room for more than one.
pub(crate) fn settle(acknowledged: Vec<Stored>, places: Option<&Semaphore>) {
    let here = acknowledged.iter().filter(|stored| matches!(stored.place, Place::Here)).count();
    for share in acknowledged.into_iter().filter_map(|stored| stored.share) {
        share.settle();
    }
    if let Some(places) = places {
        places.add_permits(here);
    }
}
