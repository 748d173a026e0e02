//! The life of one question.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use crate::answer::{Answer, Outcome};
use crate::cache::Cache;
use crate::cache::fetch::Wanted;
use crate::cache::glance::Missed;
use crate::cache::job::Job;
use crate::cache::load::Load;
use crate::cache::loading::Loading;
use crate::clock::from_now;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::flight::{Entered, Follower};
use crate::key::CacheKey;

/// What memory has.
pub(super) enum Look<V> {
    Fresh(Entry<V>),
    /// Fresh, and it is time to load it anew.
    Due(Entry<V>),
    /// Old, and the policy lets it be answered.
    Old(Entry<V>),
    Nothing,
}

// === impl Cache ===

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The value of `key`, when one of the tiers has it and it is fresh.
    ///
    /// It waits for nobody: what another process loads for the first time is not there yet, and in a cluster of Redis neither
    /// is, for a trip, what another process is writing, be there an older one or not.
    ///
    /// # Cancel safety
    ///
    /// When dropped, nothing is lost. Where many read at once, its read goes on to its end without it.
    pub async fn get(&self, key: &K) -> Option<Arc<V>> {
        if let Some(entry) = self.hit(key, true) {
            return entry.value;
        }
        Box::pin(self.read(key)).await?.value
    }

    pub(super) async fn read(&self, key: &K) -> Option<Entry<V>> {
        let inner = &*self.inner;
        if let Look::Fresh(entry) | Look::Due(entry) = self.look(key) {
            inner.metrics.hits_memory.add();
            return Some(entry);
        }
        if inner.store.tier.is_shared()
            && let Some(entry) = self.read_bounded(key).await
        {
            inner.metrics.hits_shared.add();
            return Some(entry);
        }
        inner.metrics.absent.add();
        None
    }

    /// In a task when many read for themselves: who is not polled is not to be waited for.
    async fn read_bounded(&self, key: &K) -> Option<Entry<V>> {
        let store = &self.inner.store;
        if let Ok(_place) = store.glances.try_acquire() {
            return self.read_shared(key, true).await.ok();
        }
        let (cache, key) = (self.clone(), key.clone());
        let reading = async move { cache.read_shared(&key, true).await.ok() };
        // An error is a runtime that shuts down, or a panic of the key's own code, which has no answer either.
        store.tasks().spawn(reading.in_current_span()).await.ok().flatten()
    }

    pub(super) async fn ask(&self, key: &K, job: Job<V>, nothing: bool) -> Result<Answer<V>, Error> {
        // From here on, whoever asks.
        let deadline = self.patience();
        let missed = match self.glance(key, job, nothing).await {
            Ok(answer) => return Ok(answer),
            Err(missed) => missed,
        };
        let answer = Box::pin(self.answer_of(key, missed, nothing, deadline)).await;
        let metrics = &self.inner.metrics;
        match &answer {
            Ok(Answer { outcome: Outcome::Miss, .. }) | Err(_) => metrics.misses.add(),
            // Counted where it was found: there are two tiers.
            Ok(Answer { outcome: Outcome::Hit, .. }) => {}
            Ok(Answer { outcome: old, .. }) => self.inner.count_old(*old),
        }
        answer
    }

    async fn answer_of(
        &self,
        key: &K,
        missed: Missed<V>,
        nothing: bool,
        deadline: Option<Instant>,
    ) -> Result<Answer<V>, Error> {
        let inner = &*self.inner;
        let Missed { mut job, old: read } = missed;
        loop {
            let old = match self.look(key) {
                Look::Fresh(entry) | Look::Due(entry) | Look::Old(entry)
                    if entry.value.is_none() && !nothing =>
                {
                    None
                }
                Look::Fresh(entry) => {
                    inner.metrics.hits_memory.add();
                    return Ok(entry.answer(Outcome::Hit, inner.store.now()));
                }
                Look::Due(entry) => {
                    inner.metrics.hits_memory.add();
                    if let Some(job) = job.take() {
                        self.refresh(key, &entry, job);
                    }
                    return Ok(entry.answer(Outcome::Hit, inner.store.now()));
                }
                Look::Old(entry) if entry.rests(inner.store.now()) => {
                    return Ok(entry.answer(entry.outcome(), inner.store.now()));
                }
                Look::Old(entry) => Some(entry),
                // Judged again before it is answered: it may have been ended since it was read.
                Look::Nothing => read.clone(),
            };
            let slot = inner.slot(key);
            let loading = Loading::current();
            if loading.has(inner.store.id(), &slot.space, &slot.key) {
                let Some(job) = job.take() else { return Err(gone()) };
                return self.load_alone(job).await;
            }
            let asker = inner.asker(&slot.key, &self.policy, &loading);
            let mut follower = match inner.flights.enter(key, &asker, |led| self.follows(led)) {
                Entered::Follow(mut follower) => {
                    let answer = self.wait(&mut follower, old.as_ref(), deadline).await;
                    match answer.and_then(|answer| self.follow(&follower, old.as_ref(), answer)) {
                        // Loaded by one for whom nothing is an answer.
                        Some(Ok(answer)) if answer.value.is_none() && !nothing => {}
                        Some(answer) => {
                            inner.metrics.followers.add();
                            if let Ok(Answer { outcome: Outcome::Hit, .. }) = &answer {
                                inner.metrics.hits_shared.add();
                            }
                            return answer;
                        }
                        None => {}
                    }
                    continue;
                }
                Entered::Lead(lead) => {
                    // Between the look and here, another one may have ended.
                    if let Some(entry) = self.fresh(key, nothing) {
                        inner.metrics.hits_memory.add();
                        let answer = entry.answer(Outcome::Hit, inner.store.now());
                        lead.land(Ok(answer.clone()));
                        return Ok(answer);
                    }
                    let Some(job) = job.take() else { return Err(gone()) };
                    let follower = lead.follower();
                    let wanted = Wanted { nothing, beyond: None };
                    let load = Load { cache: self.clone(), lead, slot, wanted, old: old.clone(), loading };
                    // Not here: who leads may not be polled for as long as it likes, while others wait for it.
                    inner.store.tasks().spawn(load.fetch_and_run(job).in_current_span());
                    follower
                }
            };
            // None: the runtime shuts down, and this caller with it.
            let answer =
                self.wait(&mut follower, old.as_ref(), deadline).await.unwrap_or_else(|| Err(gone()));
            if let Ok(Answer { outcome: Outcome::Hit, .. }) = &answer {
                inner.metrics.hits_shared.add();
            }
            return answer;
        }
    }

    /// Until when a caller that asks now waits for a load before it takes what is old; none for as long as it takes.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.policy.soft_timeout.map(from_now)
    }

    /// Waits for an answer as the policy says; none when who led is gone.
    pub(super) async fn wait(
        &self,
        follower: &mut Follower<V>,
        old: Option<&Entry<V>>,
        deadline: Option<Instant>,
    ) -> Option<Result<Answer<V>, Error>> {
        let Some(deadline) = deadline else { return follower.answer().await };
        let old = match old {
            Some(old) => Some(old.clone()),
            None => follower.old().await,
        };
        let Some(old) = old else { return follower.answer().await };
        match timeout_at(deadline, follower.answer()).await {
            Ok(answer) => answer,
            Err(_) if self.serves(&old) => Some(Ok(old.answer(Outcome::Stale, self.inner.store.now()))),
            // It was ended meanwhile, or is too old by now.
            Err(_) => follower.answer().await,
        }
    }

    /// What another's answer is for who asks by this policy, where there is nothing new. None when it is none: that of who
    /// lets older things be answered.
    pub(super) fn follow(
        &self,
        follower: &Follower<V>,
        old: Option<&Entry<V>>,
        answer: Result<Answer<V>, Error>,
    ) -> Option<Result<Answer<V>, Error>> {
        let landed = follower.landed_old().filter(|old| old.value.is_some());
        match &answer {
            Ok(Answer { outcome, .. }) if outcome.is_stale() => {
                landed.is_none_or(|old| self.serves(&old)).then_some(answer)
            }
            Ok(_) => Some(answer),
            Err(_) => {
                let old = landed.iter().chain(old).find(|old| self.serves(old));
                Some(old.map_or(answer, |old| Ok(old.answer(Outcome::StaleIfError, self.inner.store.now()))))
            }
        }
    }

    /// Whether it may be answered, old as it is.
    pub(super) fn serves(&self, old: &Entry<V>) -> bool {
        let inner = &*self.inner;
        old.is_served(&self.policy, inner.store.now()) && self.trusts(&old.stamp)
    }

    pub(super) fn look(&self, key: &K) -> Look<V> {
        let inner = &*self.inner;
        let Some(entry) = inner.memory.get(key) else { return Look::Nothing };
        if !self.trusts(&entry.stamp) {
            return Look::Nothing;
        }
        let now = inner.store.now();
        if entry.is_fresh(&self.policy, now) {
            let due = entry.is_due(&self.policy, now) && !inner.flights.has(key);
            return if due { Look::Due(entry) } else { Look::Fresh(entry) };
        }
        if entry.is_served(&self.policy, now) { Look::Old(entry) } else { Look::Nothing }
    }

    fn fresh(&self, key: &K, nothing: bool) -> Option<Entry<V>> {
        match self.look(key) {
            Look::Fresh(entry) | Look::Due(entry) => {
                Some(entry).filter(|entry| nothing || entry.value.is_some())
            }
            Look::Old(_) | Look::Nothing => None,
        }
    }

    /// Asks for it behind a caller that is gone, unless someone else asks.
    pub(super) fn go_on(&self, key: &K, job: Job<V>, nothing: bool, loading: &Loading, runtime: &Handle) {
        let inner = &*self.inner;
        if matches!(self.look(key), Look::Old(entry) if entry.rests(inner.store.now())) {
            return;
        }
        let slot = inner.slot(key);
        let asker = inner.asker(&slot.key, &self.policy, loading);
        if let Entered::Lead(lead) = inner.flights.enter(key, &asker, |led| self.follows(led)) {
            // Another one may have ended meanwhile.
            if let Some(entry) = self.fresh(key, nothing) {
                return lead.land(Ok(entry.answer(Outcome::Hit, inner.store.now())));
            }
            let (wanted, loading) = (Wanted { nothing, beyond: None }, loading.clone());
            let load = Load { cache: self.clone(), lead, slot, wanted, old: None, loading };
            inner.store.tasks().spawn_on(load.fetch_and_run(job).instrument(self.behind()), runtime);
        }
    }

    /// Loads anew what is fresh still, behind the caller's back.
    fn refresh(&self, key: &K, entry: &Entry<V>, job: Job<V>) {
        let inner = &*self.inner;
        let slot = inner.slot(key);
        // Of no other load: none waits for it.
        let loading = Loading::default();
        let asker = inner.asker(&slot.key, &self.policy, &loading);
        if let Entered::Lead(lead) = inner.flights.enter(key, &asker, |led| self.follows(led)) {
            let wanted = Wanted { nothing: true, beyond: Some(entry.ends()) };
            let load = Load { cache: self.clone(), lead, slot, wanted, old: Some(entry.clone()), loading };
            inner.store.tasks().spawn(load.fetch_and_run(job).instrument(self.behind()));
        }
    }

    /// What nobody waits for is no part of the request that brought it, whose span would stay open until its end.
    pub(super) fn behind(&self) -> Span {
        let span = tracing::info_span!(parent: None, "cache.behind", cache = self.inner.config.name);
        span.follows_from(Span::current());
        span
    }

    /// A key inside its own load: waiting for that would be waiting for itself.
    async fn load_alone(&self, job: Job<V>) -> Result<Answer<V>, Error> {
        self.inner.metrics.loads.add();
        let loaded = job().await?;
        Ok(Answer::loaded(loaded.map(|loaded| Arc::new(loaded.value))))
    }
}

pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Load, "the runtime shuts down")
}
