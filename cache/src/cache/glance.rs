//! What callers read of the shared tier themselves.
//!
//! Most of what memory does not have the tier has. Whoever asks for that first reads it in its own future, by a plain read:
//! no task, no flight, no lease. So nobody may wait for it, since it may not be polled for as long as it likes; whoever
//! asks meanwhile leads a flight. What the tier does not have, or has as something old, is asked for by a flight, too.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::SemaphorePermit;

use crate::answer::{Answer, Outcome};
use crate::cache::Cache;
use crate::cache::fetch::{Judged, Wanted};
use crate::cache::job::{Batch, Job};
use crate::cache::loading::Loading;
use crate::cache::read::Look;
use crate::cache::seal::Verdict;
use crate::entry::Entry;
use crate::envelope::{Envelope, Held, Marks};
use crate::flight::{Glancing, GlancingMany};
use crate::key::CacheKey;
use crate::tier::Found;

/// One read. When it is dropped before its end, the question goes on without the caller.
struct Glance<'a, K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    cache: &'a Cache<K, V>,
    key: &'a K,
    /// Until it ends.
    job: Option<Job<V>>,
    nothing: bool,
    loading: Loading,
    runtime: Handle,
    // ORDER: after the question goes on, and whatever becomes of that.
    _glancing: Glancing<'a, K, V, [u64; 1]>,
    _place: SemaphorePermit<'a>,
}

/// A question that a glance did not answer.
pub(super) struct Missed<V> {
    /// None when it is gone.
    pub(super) job: Option<Job<V>>,
    /// What it found that is old: whoever answers it judges it again.
    pub(super) old: Option<Entry<V>>,
}

/// The same for many.
struct Glances<'a, K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    cache: &'a Cache<K, V>,
    keys: Vec<K>,
    /// What is not read here.
    rest: Vec<K>,
    /// Until it ends.
    batch: Option<Batch<K, V>>,
    loading: Loading,
    runtime: Handle,
    _glancing: GlancingMany<'a, K, V>,
    _place: SemaphorePermit<'a>,
}

/// So many sets of marks of one question are asked after at once, each of which takes a place of its own.
const MARKS: usize = 32;

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The tier's answer; the load comes back when there is none, or someone asks already.
    ///
    /// CANCEL SAFETY: the question goes on.
    pub(super) async fn glance(&self, key: &K, job: Job<V>, nothing: bool) -> Result<Answer<V>, Missed<V>> {
        let inner = &*self.inner;
        let loading = Loading::current();
        // What is asked for inside a load may be the load's own.
        if !inner.store.tier.is_shared() || loading.is_within(inner.store.id()) {
            return Err(Missed { job: Some(job), old: None });
        }
        // The place first: without one there is nothing to be known of.
        let Ok(_place) = inner.store.glances.try_acquire() else {
            return Err(Missed { job: Some(job), old: None });
        };
        let Some(_glancing) = inner.flights.glance(key) else {
            return Err(Missed { job: Some(job), old: None });
        };
        let runtime = Handle::current();
        let mut glance =
            Glance { cache: self, key, job: Some(job), nothing, loading, runtime, _glancing, _place };
        // ORDER: looked for after it. What another one has read is there by now. What is due or old takes more than a read.
        let read = match self.look(key) {
            Look::Nothing => self.read_shared(key, nothing).await,
            _ => Err(None),
        };
        let job = glance.job.take();
        let entry = read.map_err(|old| Missed { job, old })?;
        inner.metrics.hits_shared.add();
        Ok(entry.answer(Outcome::Hit, inner.store.now()))
    }

    /// What the tier has and is fresh, and `nothing` only where that is an answer. It is kept. An error is what is old;
    /// whoever answers it judges it again.
    pub(super) async fn read_shared(&self, key: &K, nothing: bool) -> Result<Entry<V>, Option<Entry<V>>> {
        let inner = &*self.inner;
        let slot = inner.slot(key);
        let stamp = inner.stamp(&slot.key, &self.policy);
        let found = inner.store.tier.read(&slot).await;
        let wanted = Wanted { nothing, beyond: None };
        let entry = match self.judge(found, &slot, &stamp, wanted).await {
            Judged::Fresh(entry) => entry,
            Judged::Over(_, old) => return Err(old),
            Judged::Leased | Judged::Busy | Judged::Bad | Judged::Away => return Err(None),
        };
        inner.keep(key.clone(), &slot.key, entry.clone());
        Ok(entry)
    }

    /// Adds what the tier has of these keys, and comes back with the load and with `rest` and all that is to be asked for
    /// otherwise. Keys are read so when the tier had all that was asked for before: else leases go along, by a flight.
    ///
    /// CANCEL SAFETY: the question goes on.
    pub(super) async fn glance_many(
        &self,
        keys: Vec<K>,
        mut rest: Vec<K>,
        batch: Batch<K, V>,
        answers: &mut HashMap<K, Arc<V>>,
    ) -> (Vec<K>, Option<Batch<K, V>>) {
        let inner = &*self.inner;
        let loading = Loading::current();
        let store = &inner.store;
        let alone = inner.had_all.load(Ordering::Relaxed) && !loading.is_within(store.id());
        // Where no command reaches them all, each would take a place.
        let place = if alone && !store.tier.is_spread() { store.glances.try_acquire().ok() } else { None };
        let Some(_place) = place else {
            rest.extend(keys);
            return (rest, Some(batch));
        };
        let (_glancing, keys, asked) = inner.flights.glance_many(keys);
        rest.extend(asked);
        if keys.is_empty() {
            return (rest, Some(batch));
        }
        let (batch, runtime) = (Some(batch), Handle::current());
        let mut glance = Glances { cache: self, keys, rest, batch, loading, runtime, _glancing, _place };
        let slots = inner.slots(&glance.keys);
        let stamps = inner.stamps(&slots, &self.policy);
        let found = inner.store.tier.read_many(&slots).await.unwrap_or_default();
        let mut values: Vec<Option<Envelope<'_>>> = found.iter().map(value).collect();
        values.resize(slots.len(), None);
        // Most carry the same.
        let mut carried: Vec<Marks<'_>> = values.iter().flatten().map(|envelope| envelope.marks).collect();
        carried.sort_unstable();
        carried.dedup();
        let more = carried.len().min(MARKS).saturating_sub(1);
        let places = u32::try_from(more).ok().and_then(|more| store.glances.try_acquire_many(more).ok());
        let at_once = if places.is_some() { more + 1 } else { 1 };
        let mut verdicts = Vec::with_capacity(carried.len());
        for marks in carried.chunks(at_once) {
            verdicts.extend(join_all(marks.iter().map(|marks| inner.verify(*marks))).await);
        }
        drop(places);
        let (mut hits, asked) = (0, slots.len());
        let (now, then) = (store.now(), store.tier.now());
        let keys = std::mem::take(&mut glance.keys);
        for (((key, slot), stamp), value) in keys.into_iter().zip(&slots).zip(stamps).zip(values) {
            let entry = value.and_then(|envelope| {
                let Verdict::Alive(tags) = verdicts.get(carried.binary_search(&envelope.marks).ok()?)? else {
                    return None;
                };
                let entry = inner.open(&envelope, stamp.with_tags(tags.clone()), then)?;
                let fresh = entry.is_fresh(&self.policy, now);
                (fresh && entry.stamp.carries(&self.tags)).then_some(entry)
            });
            let Some(entry) = entry else {
                glance.rest.push(key);
                continue;
            };
            hits += 1;
            if let Some(value) = &entry.value {
                answers.insert(key.clone(), Arc::clone(value));
            }
            inner.keep(key, &slot.key, entry);
        }
        inner.metrics.hits_shared.add_many(hits);
        inner.had_all.store(hits == asked, Ordering::Relaxed);
        (std::mem::take(&mut glance.rest), glance.batch.take())
    }
}

fn value(found: &Found) -> Option<Envelope<'_>> {
    let Found::Slot(bytes) = found else { return None };
    match Held::decode(bytes) {
        Held::Value(envelope) => Some(envelope),
        Held::Lease | Held::Unreadable => None,
    }
}

// === impl Glance ===

impl<K, V> Drop for Glance<'_, K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(job) = self.job.take()
            && may_go_on()
        {
            self.cache.go_on(self.key, job, self.nothing, &self.loading, &self.runtime);
        }
    }
}

// === impl Glances ===

impl<K, V> Drop for Glances<'_, K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take()
            && may_go_on()
        {
            self.keys.append(&mut self.rest);
            self.cache.go_on_many(std::mem::take(&mut self.keys), batch, &self.loading, &self.runtime);
        }
    }
}

/// Not behind a panic: it may be that of the key's own code, and a second one within it ends the process.
fn may_go_on() -> bool {
    !std::thread::panicking()
}
