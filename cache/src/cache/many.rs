//! Many keys at once.

mod run;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Instrument;

use crate::answer::Outcome;
use crate::cache::Cache;
use crate::cache::fetch::Wanted;
use crate::cache::job::{Batch, batch};
use crate::cache::load::Load;
use crate::cache::loading::Loading;
use crate::cache::many::run::Part;
use crate::cache::read::{Look, gone};
use crate::entry::Entry;
use crate::error::Error;
use crate::flight::{Asker, Entered, Follower};
use crate::key::CacheKey;
use crate::loaded::Loaded;

/// Someone's answer that is on its way.
struct Awaited<K, V> {
    key: K,
    follower: Follower<V>,
    old: Option<Entry<V>>,
    /// Of a load that another caller brought.
    followed: bool,
}

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The values of many keys: from memory, from the shared tier in one trip (two after a question that found all of its
    /// own; in a cluster a command for each key), and what neither has from one call of `load` and one more trip. Keys that
    /// others are loading in this process are not loaded again. A key that the load does not answer has no value, which is
    /// kept for [`Policy::negative_ttl`](crate::Policy::negative_ttl).
    ///
    /// What another process is loading is not waited for: it is loaded here too, and kept in memory alone.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load): one key that has no answer fails the whole question, though what was found of the
    /// others stays where it is. To get on with a part, let the load leave out what it has not: that is no error, and no
    /// value.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the question goes on, with its load, and the answers are kept.
    pub async fn get_many_or_load<F, Fut, L, E>(
        &self,
        keys: &[K],
        load: F,
    ) -> Result<HashMap<K, Arc<V>>, Error>
    where
        F: FnOnce(Vec<K>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<HashMap<K, L>, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let inner = &*self.inner;
        let mut answers = HashMap::with_capacity(keys.len());
        let (mut absent, mut rest) = (Vec::new(), Vec::new());
        for key in keys {
            if answers.contains_key(key) {
                continue;
            }
            match inner.memory.get(key) {
                Some(entry) if self.is_hit(&entry, true) => {
                    if let Some(value) = entry.value {
                        answers.insert(key.clone(), value);
                    }
                }
                None => absent.push(key.clone()),
                // What is over or ended is as good as nothing.
                _ if matches!(self.look(key), Look::Nothing) => absent.push(key.clone()),
                _ => rest.push(key.clone()),
            }
        }
        if !absent.is_empty() || !rest.is_empty() {
            Box::pin(self.ask_many(absent, rest, batch(load), &mut answers)).await?;
        }
        Ok(answers)
    }

    /// Adds the answers for `absent`, of which memory has nothing that lives, and for `rest`.
    async fn ask_many(
        &self,
        absent: Vec<K>,
        rest: Vec<K>,
        batch: Batch<K, V>,
        answers: &mut HashMap<K, Arc<V>>,
    ) -> Result<(), Error> {
        // One for all of them.
        let deadline = self.patience();
        let (mut rest, batch) = self.glance_many(absent, rest, batch, answers).await;
        rest.retain(|key| !answers.contains_key(key));
        if rest.is_empty() {
            return Ok(());
        }
        once(&mut rest);
        Box::pin(self.enter_many(rest, batch, deadline, answers)).await
    }

    async fn enter_many(
        &self,
        mut missing: Vec<K>,
        mut batch: Option<Batch<K, V>>,
        deadline: Option<Instant>,
        answers: &mut HashMap<K, Arc<V>>,
    ) -> Result<(), Error> {
        let inner = &*self.inner;
        let loading = Loading::current();
        let own = |key: &K| {
            let slot = inner.slot(key);
            loading.has(inner.store.id(), &slot.space, &slot.key)
        };
        if loading.is_within(inner.store.id()) && missing.iter().any(own) {
            let Some(batch) = batch.take() else { return Err(gone()) };
            inner.metrics.loads.add();
            inner.metrics.misses.add_many(missing.len());
            let mut loaded = batch(missing.clone()).await?;
            let one = |key: K| Some((loaded.remove(&key)?, key));
            let loaded = missing.into_iter().filter_map(one);
            answers.extend(loaded.map(|(loaded, key)| (key, Arc::new(loaded.value))));
            return Ok(());
        }
        // More than once only when who led is gone with its runtime, or what was followed is no answer by this policy.
        while !missing.is_empty() {
            let mut parts = Vec::new();
            let mut awaited = Vec::new();
            for key in std::mem::take(&mut missing) {
                self.enter_one(key, &loading, answers, &mut parts, &mut awaited);
            }
            if !parts.is_empty() {
                // The load can be called once: what others let fall after it has no one to load it.
                let Some(batch) = batch.take() else { return Err(gone()) };
                let run = self.clone().run_many(parts, batch, loading.clone());
                inner.store.tasks().spawn(run.in_current_span());
            }
            let mut failure = None;
            for Awaited { key, mut follower, old, followed } in awaited {
                // One load fails for all its keys: who asks again after the answer finds no part of it any more.
                if failure.is_some() && followed {
                    continue;
                }
                let Some(mut answer) = self.wait(&mut follower, old.as_ref(), deadline).await else {
                    missing.push(key);
                    continue;
                };
                if followed {
                    let Some(followed) = self.follow(&follower, old.as_ref(), answer) else {
                        // Asked again, if there is still a load to ask by.
                        if batch.is_some() {
                            missing.push(key);
                        } else {
                            inner.metrics.misses.add();
                            failure.get_or_insert_with(Error::of_another);
                        }
                        continue;
                    };
                    answer = followed;
                    inner.metrics.followers.add();
                }
                let answer = match answer {
                    Ok(answer) => answer,
                    Err(error) => {
                        inner.metrics.misses.add();
                        failure.get_or_insert(error);
                        continue;
                    }
                };
                match answer.outcome {
                    Outcome::Hit => inner.metrics.hits_shared.add(),
                    Outcome::Miss => inner.metrics.misses.add(),
                    old @ (Outcome::Stale | Outcome::StaleIfError) => inner.count_old(old),
                }
                answers.extend(answer.value.map(|value| (key, value)));
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }

    fn enter_one(
        &self,
        key: K,
        loading: &Loading,
        answers: &mut HashMap<K, Arc<V>>,
        parts: &mut Vec<Part<K, V>>,
        awaited: &mut Vec<Awaited<K, V>>,
    ) {
        let inner = &*self.inner;
        let old = match self.look(&key) {
            Look::Fresh(entry) | Look::Due(entry) => {
                inner.metrics.hits_memory.add();
                answers.extend(entry.value.map(|value| (key, value)));
                return;
            }
            Look::Old(entry) if entry.rests(inner.store.now()) => {
                inner.count_old(entry.outcome());
                answers.extend(entry.value.map(|value| (key, value)));
                return;
            }
            Look::Old(entry) => Some(entry),
            Look::Nothing => None,
        };
        let slot = inner.slot(&key);
        let asker = inner.asker(&slot.key, &self.policy, loading);
        // Whom it follows it cannot leave, having loaded by then: only where no tag can have ended in between.
        let is_current = |led: &Asker| self.follows(led) && led.moment == asker.moment;
        match inner.flights.enter(&key, &asker, is_current) {
            Entered::Follow(follower) => awaited.push(Awaited { key, follower, old, followed: true }),
            Entered::Lead(lead) => {
                awaited.push(Awaited { key, follower: lead.follower(), old: old.clone(), followed: false });
                let wanted = Wanted { nothing: true, beyond: None };
                let load = Load { cache: self.clone(), lead, slot, wanted, old, loading: loading.clone() };
                parts.push(Part { load, lease: None });
            }
        }
    }

    /// Asks for them behind a caller that is gone, unless others do.
    pub(super) fn go_on_many(
        &self,
        mut keys: Vec<K>,
        batch: Batch<K, V>,
        loading: &Loading,
        runtime: &Handle,
    ) {
        once(&mut keys);
        let now = self.inner.store.now();
        // What there is by now is nobody's hit.
        keys.retain(|key| match self.look(key) {
            Look::Fresh(_) | Look::Due(_) => false,
            Look::Old(entry) => !entry.rests(now),
            Look::Nothing => true,
        });
        let mut parts = Vec::new();
        for key in keys {
            self.enter_one(key, loading, &mut HashMap::new(), &mut parts, &mut Vec::new());
        }
        if !parts.is_empty() {
            let run = self.clone().run_many(parts, batch, loading.clone());
            self.inner.store.tasks().spawn_on(run.instrument(self.behind()), runtime);
        }
    }
}

/// Each of them once, in an order that all processes have.
fn once<K: CacheKey>(keys: &mut Vec<K>) {
    keys.sort_by_cached_key(crate::key::written);
    keys.dedup();
}
