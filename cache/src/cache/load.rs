//! The life of one load.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument;
use tracing::field::Empty;

use crate::answer::{Answer, Outcome};
use crate::cache::before::Before;
use crate::cache::bounds::Told;
use crate::cache::fetch::{Fetched, Lease, Wanted};
use crate::cache::job::Job;
use crate::cache::loading::Loading;
use crate::cache::seal::Marks;
use crate::cache::{Cache, Reason};
use crate::entry::{Entry, Lives};
use crate::epochs::{Stamp, TagStamps};
use crate::error::Error;
use crate::flight::Lead;
use crate::key::CacheKey;
use crate::loaded::Loaded;
use crate::mark::MarkName;
use crate::policy::Policy;
use crate::tier::{Filled, Slot};

/// A load that is about to run, and all who wait for it.
pub(super) struct Load<K: CacheKey, V> {
    pub(super) cache: Cache<K, V>,
    pub(super) lead: Lead<K, V>,
    pub(super) slot: Slot,
    pub(super) wanted: Wanted,
    /// What is old, and is answered when it fails where the policy lets it be.
    pub(super) old: Option<Entry<V>>,
    /// What its caller is loading.
    pub(super) loading: Loading,
}

/// What a load brought.
pub(super) struct Came<V> {
    answer: Answer<V>,
    /// The tags that came with it.
    late: Option<Arc<TagStamps>>,
    pub(super) prepared: Option<Prepared<V>>,
}

/// What a load brought, as it is kept.
pub(super) struct Prepared<V> {
    pub(super) entry: Entry<V>,
    /// For the tier, with its life there.
    pub(super) sealed: Option<(Vec<u8>, Duration)>,
}

impl<K, V> Load<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Asks the tier first.
    pub(super) async fn fetch_and_run(mut self, job: Job<V>) {
        let stamp = self.lead.stamp().clone();
        match self.cache.fetch(&self.slot, &stamp, self.wanted, |old| self.offer(old)).await {
            Fetched::Fresh(entry) => self.found(entry, Outcome::Hit),
            // Another process loads it anew. That it does is not asked for again by each caller.
            Fetched::Old(mut entry) => {
                entry.defer(self.cache.inner.store.now(), &self.cache.policy);
                self.found(entry, Outcome::Stale);
            }
            Fetched::Load { lease, old } => {
                if let Some(old) = old {
                    self.found_old(old);
                }
                self.run(job, lease).await;
            }
        }
    }

    /// The tier had something old, for this policy or for another one.
    pub(super) fn found_old(&mut self, old: Entry<V>) {
        self.offer(&old);
        // What memory had, if anything, this policy serves.
        if self.old.is_none() || self.cache.serves(&old) {
            self.old = Some(old);
        }
    }

    /// What callers may answer while it is loaded.
    pub(super) fn offer(&self, old: &Entry<V>) {
        // That there was nothing is never answered as something old.
        if old.value.is_some() {
            self.lead.offer(old);
        }
    }

    /// The tier had it.
    pub(super) fn found(self, entry: Entry<V>, outcome: Outcome) {
        let inner = &self.cache.inner;
        let answer = entry.answer(outcome, inner.store.now());
        let (asked, tags) = (self.lead.moment(), entry.stamp.tags().cloned());
        let old = (outcome == Outcome::Stale).then(|| entry.clone());
        inner.keep(self.lead.key.clone(), &self.slot.key, entry);
        self.lead.land_with(Ok(answer), old, || inner.tags().ended_since(asked, tags.as_ref()?));
    }

    pub(super) async fn run(self, job: Job<V>, mut lease: Option<Lease>) {
        let inner = Arc::clone(&self.cache.inner);
        let before = Before::new(&inner, self.lead.stamp().tags(), lease.is_some()).await;
        let span = tracing::debug_span!("cache.load", cache = inner.config.name, error.type = Empty);
        let loaded = match &lease {
            None => self.load(job).instrument(span.clone()).await,
            Some(lease) => {
                let load = std::pin::pin!(self.load(job).instrument(span.clone()));
                match select(load, std::pin::pin!(lease.renewed())).await {
                    Either::Left((loaded, _)) => loaded,
                    Either::Right((never, _)) => match never {},
                }
            }
        };
        match loaded {
            Ok(loaded) => self.loaded(loaded, lease, before).await,
            Err(error) => {
                inner.metrics.load_errors.add();
                span.record("error.type", error.label());
                // ORDER: whoever asks next finds the lease free, and the answer after it.
                if let Some(lease) = &mut lease {
                    lease.give_back().await;
                }
                let cache = self.cache.clone();
                let told = self.failed(error.clone());
                cache.report(&error, [told]);
            }
        }
    }

    async fn load(&self, job: Job<V>) -> Result<Option<Loaded<V>>, Error> {
        self.cache.inner.metrics.loads.add();
        if self.wanted.beyond.is_some() {
            self.cache.inner.metrics.refreshes.add();
        }
        let scope = self.loading.clone().with(self.cache.inner.store.id(), &self.slot.space, &self.slot.key);
        self.cache.bounded(&self.loading, self.lead.needed(), scope.run(async move { job().await })).await
    }

    /// Keeps what came, unless it was ended meanwhile, and tells everyone.
    async fn loaded(self, loaded: Option<Loaded<V>>, mut lease: Option<Lease>, before: Before) {
        let mut came = self.prepare(loaded, lease.is_some(), &before).await;
        let mut kept = came.prepared.take().map(|prepared| (prepared.entry, prepared.sealed));
        if let (Some(lease), Some((_, sealed @ Some(_)))) = (&mut lease, &mut kept)
            && let Some((sealed, life)) = sealed.take()
        {
            let filled = self.cache.inner.store.tier.fill(&lease.slot, lease.token, sealed, life).await;
            lease.forget();
            if filled == Filled::Refused {
                self.cache.inner.metrics.refused.add();
                kept = None;
            }
        }
        if let Some(lease) = &mut lease {
            lease.end().await;
        }
        self.land(came, kept.map(|(entry, _)| entry), &before);
    }

    /// Into memory with it, unless it was ended meanwhile, and the answer to everyone. Where there is nothing to keep,
    /// what is old goes: the load said something else.
    pub(super) fn land(self, came: Came<V>, entry: Option<Entry<V>>, before: &Before) {
        let inner = &self.cache.inner;
        if let Some(entry) = entry {
            if !inner.keep(self.lead.key.clone(), &self.slot.key, entry) {
                inner.metrics.refused.add();
            }
        } else if inner.epochs.is_current(self.lead.stamp()) {
            inner.memory.remove(&self.lead.key);
        }
        // Who came after one of the late tags had ended was taken for a follower, since nobody knew of them.
        let ended = || inner.tags().ended_since(before.moment, came.late.as_ref()?);
        self.lead.land_until(Ok(came.answer), ended);
    }

    /// What came, for those who wait, for memory and for the tier.
    pub(super) async fn prepare(&self, loaded: Option<Loaded<V>>, leased: bool, before: &Before) -> Came<V> {
        let (value, ttl, stale_for, tags) = match loaded {
            Some(Loaded { value, ttl, stale_for, tags }) => (Some(Arc::new(value)), ttl, stale_for, tags),
            None => (None, None, None, Vec::new()),
        };
        let answer = Answer::loaded(value.clone());
        let late = self.cache.inner.tags().stamps(tags.iter().map(MarkName::of_tag));
        let prepared = self.prepare_kept(value, (ttl, stale_for), late.clone(), leased, before).await;
        Came { answer, late, prepared }
    }

    async fn prepare_kept(
        &self,
        value: Option<Arc<V>>,
        own: (Option<Duration>, Option<Duration>),
        late: Option<Arc<TagStamps>>,
        leased: bool,
        before: &Before,
    ) -> Option<Prepared<V>> {
        let (inner, policy) = (&*self.cache.inner, &*self.cache.policy);
        let (took, max) = (before.at.elapsed(), inner.store.config.max_ttl);
        let lives = Lives::of(policy, value.is_some(), own, took, max)?;
        let stamp = self.stamp(late.as_ref(), before)?;
        let packed = inner.pack(value.as_deref())?;
        let weight = packed.weight;
        let mut sealed = None;
        if leased && let Some(marks) = self.marks(late.as_ref(), before).await {
            sealed = Some(inner.seal(&packed, lives, &marks));
        }
        Some(Prepared { entry: inner.entry(value, lives, weight, stamp), sealed })
    }

    /// The stamp of the beginning, with the tags that the load brought; none when they are too many, or one of them
    /// ended since.
    fn stamp(&self, late: Option<&Arc<TagStamps>>, before: &Before) -> Option<Stamp> {
        let inner = &self.cache.inner;
        let stamp = self.lead.stamp().clone();
        let Some(late) = late else { return Some(stamp) };
        if inner.tags().ended_since(before.moment, late).is_some() {
            inner.metrics.refused.add();
            return None;
        }
        let all = TagStamps::joined(stamp.tags(), Some(late));
        if all.as_ref().is_some_and(|tags| tags.iter().count() > Policy::MAX_TAGS) {
            inner.unusable(Reason::TooManyTags);
            return None;
        }
        Some(stamp.with_tags(all))
    }

    /// The marks to write; none when the tier cannot be sure of the tags that the load brought.
    async fn marks(&self, late: Option<&Arc<TagStamps>>, before: &Before) -> Option<Marks> {
        let mut marks = before.marks.clone()?;
        let Some(late) = late else { return Some(marks) };
        let heard = before.heard?;
        let names: Vec<MarkName> = late.iter().map(|tag| tag.name.clone()).collect();
        let inner = &self.cache.inner;
        let answer = inner.store.tier.marks(&names, inner.mark_life()).await?;
        if !answer.marks.iter().all(|mark| mark.is_within(heard)) {
            return None;
        }
        marks.extend(names.into_iter().zip(answer.marks));
        Some(marks)
    }

    /// Answers what is old, if that may be, else the error. What of it callers notice.
    pub(super) fn failed(self, error: Error) -> Told {
        let inner = &self.cache.inner;
        let Some(mut entry) = self.old.clone().filter(|old| self.cache.serves(old)) else {
            let told = if self.lead.is_awaited() { Told::Error } else { Told::Nobody };
            self.lead.land_with(Err(error), self.old, || None);
            return told;
        };
        let now = inner.store.now();
        if !error.is_of_caller() {
            entry.defer_failed(now, &self.cache.policy);
        }
        let answer = entry.answer(Outcome::StaleIfError, now);
        inner.keep(self.lead.key.clone(), &self.slot.key, entry.clone());
        self.lead.land_with(Ok(answer), Some(entry), || None);
        Told::Old
    }
}
