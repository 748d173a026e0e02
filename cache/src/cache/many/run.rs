//! One run of the load of many keys.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{Either, join_all, select, select_all};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument;
use tracing::field::Empty;

use crate::answer::Outcome;
use crate::cache::Cache;
use crate::cache::before::Before;
use crate::cache::fetch::{Judged, Lease};
use crate::cache::job::Batch;
use crate::cache::load::{Load, Prepared};
use crate::cache::loading::Loading;
use crate::envelope::Token;
use crate::key::CacheKey;
use crate::loaded::Loaded;
use crate::tier::{Filled, Slot, Taken};

/// One key that is to be loaded.
pub(super) struct Part<K: CacheKey, V> {
    pub(super) load: Load<K, V>,
    pub(super) lease: Option<Lease>,
}

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn run_many(self, parts: Vec<Part<K, V>>, batch: Batch<K, V>, loading: Loading) {
        let parts = self.fetch_many(parts).await;
        if parts.is_empty() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let leased = parts.iter().any(|part| part.lease.is_some());
        let tags = parts.first().and_then(|part| part.load.lead.stamp().tags().cloned());
        let before = Before::new(&inner, tags.as_ref(), leased).await;
        inner.metrics.loads.add();
        let keys: Vec<K> = parts.iter().map(|part| part.load.lead.key.clone()).collect();
        let scope = parts.iter().fold(loading.clone(), |loading, part| {
            loading.with(inner.store.id(), &part.load.slot.space, &part.load.slot.key)
        });
        let span = tracing::debug_span!(
            "cache.load",
            cache = inner.config.name,
            keys = keys.len(),
            error.type = Empty,
        );
        let needed =
            async { drop(select_all(parts.iter().map(|part| Box::pin(part.load.lead.needed()))).await) };
        let load = scope.run(async move { batch(keys).await });
        let load = self.bounded(&loading, needed, load).instrument(span.clone());
        let loaded = match select(std::pin::pin!(load), std::pin::pin!(renewed(&parts))).await {
            Either::Left((loaded, _)) => loaded,
            Either::Right((never, _)) => match never {},
        };
        match loaded {
            Ok(loaded) => self.loaded_many(parts, loaded, &before).await,
            Err(error) => {
                inner.metrics.load_errors.add();
                span.record("error.type", error.label());
                let mut parts = parts;
                give_back(parts.iter_mut().filter_map(|part| part.lease.as_mut())).await;
                // One load, and one word of it.
                let told: Vec<_> = parts.into_iter().map(|part| part.load.failed(error.clone())).collect();
                self.report(&error, told);
            }
        }
    }

    /// Answers what the tier has; the rest is to be loaded.
    async fn fetch_many(&self, parts: Vec<Part<K, V>>) -> Vec<Part<K, V>> {
        let store = &self.inner.store;
        if !store.tier.is_shared() {
            return parts;
        }
        let token = Token::draw();
        let life = store.config.lease_ttl;
        let slots: Vec<Slot> = parts.iter().map(|part| part.load.slot.clone()).collect();
        let Some(found) = store.tier.read_or_lease_many(&slots, token, life).await else { return parts };
        let each = parts.into_iter().zip(found).map(|(mut part, found)| async move {
            let Load { slot, lead, wanted, .. } = &part.load;
            match self.judge(found, slot, lead.stamp(), *wanted).await {
                Judged::Fresh(entry) => {
                    part.load.found(entry, Outcome::Hit);
                    return None;
                }
                Judged::Leased => part.lease = Some(Lease::of_many(Arc::clone(store), slot.clone(), token)),
                Judged::Over(id, old) => {
                    let mut lease = Lease::of_many(Arc::clone(store), slot.clone(), token);
                    match store.tier.take(slot, id, token, life, old.is_some()).await {
                        Taken::Leased => {
                            lease.over = old.is_some();
                            part.lease = Some(lease);
                        }
                        Taken::Busy | Taken::Changed | Taken::Away => lease.forget(),
                    }
                    if let Some(old) = old {
                        part.load.found_old(old);
                    }
                }
                Judged::Busy | Judged::Bad | Judged::Away => {}
            }
            Some(part)
        });
        let parts: Vec<_> = join_all(each).await.into_iter().flatten().collect();
        self.inner.had_all.store(parts.is_empty(), Ordering::Relaxed);
        parts
    }

    async fn loaded_many(&self, parts: Vec<Part<K, V>>, mut loaded: HashMap<K, Loaded<V>>, before: &Before) {
        let store = &self.inner.store;
        let mut landing = Vec::with_capacity(parts.len());
        let mut writes = Vec::new();
        let mut token = None;
        for mut part in parts {
            let came = loaded.remove(&part.load.lead.key);
            let mut came = part.load.prepare(came, part.lease.is_some(), before).await;
            let mut written = None;
            let entry = came.prepared.take().map(|Prepared { entry, sealed }| {
                if let (Some((sealed, life)), Some(lease)) = (sealed, &mut part.lease) {
                    written = Some(writes.len());
                    token = Some(lease.token);
                    lease.forget();
                    writes.push((part.load.slot.clone(), sealed, life));
                }
                entry
            });
            landing.push((part, came, entry, written));
        }
        let mut filled = Vec::new();
        if let Some(token) = token {
            filled = store.tier.fill_many(writes, token).await;
        }
        // What they lie over is older than what came.
        join_all(landing.iter_mut().filter_map(|(part, ..)| part.lease.as_mut()).map(Lease::end)).await;
        for (part, came, mut entry, written) in landing {
            if written.and_then(|at| filled.get(at)) == Some(&Filled::Refused) {
                self.inner.metrics.refused.add();
                entry = None;
            }
            part.load.land(came, entry, before);
        }
    }
}

/// Lets the leases live for as long as it is polled.
async fn renewed<K: CacheKey, V>(parts: &[Part<K, V>]) -> Infallible {
    join_all(parts.iter().filter_map(|part| part.lease.as_ref()).map(Lease::renewed)).await;
    // Without a lease there is nothing to do.
    std::future::pending().await
}

/// ORDER: all of them before anyone hears of the answer, so that who asks next finds them free.
async fn give_back(leases: impl Iterator<Item = &mut Lease>) {
    join_all(leases.map(Lease::give_back)).await;
}
