//! Within which bounds loads run, and what is said of those that fail.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::cache::Cache;
use crate::cache::loading::Loading;
use crate::clock::from_now;
use crate::error::{Error, ErrorKind};
use crate::key::CacheKey;

/// What callers notice of a load that failed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Told {
    /// They are answered what is old.
    Old,
    /// There are none.
    Nobody,
    Error,
}

impl<K, V> Cache<K, V>
where
    K: CacheKey,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Says why a load failed where no caller is told that, with all that is behind it.
    pub(super) fn report(&self, error: &Error, told: impl IntoIterator<Item = Told>) {
        let Some(told) = told.into_iter().filter(|told| *told != Told::Error).min() else { return };
        let inner = &self.inner;
        let (cache, why) = (&inner.config.name, error.with_causes());
        if error.is_of_caller() {
            tracing::debug!(cache, error = %why, "the load failed by its caller");
            return;
        }
        // Each key of a source that is away would have a line, again after `retry_after`.
        let Some(left_out) = inner.failures.turn() else { return };
        match told {
            Told::Old => {
                tracing::warn!(cache, error = %why, left_out, "the load failed; what is old is answered");
            }
            Told::Nobody | Told::Error => {
                tracing::warn!(cache, error = %why, left_out, "the load failed, and nobody waits for it");
            }
        }
    }

    /// Runs a load within the bounds: of loads at once, and of time. A panic is an error of those who wait.
    ///
    /// A load within a load goes on in the place of the outer one, and so does one that becomes `needed` by a load that
    /// runs: waiting for another place could be waiting for itself.
    pub(super) async fn bounded<T>(
        &self,
        loading: &Loading,
        needed: impl Future<Output = ()>,
        load: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let loaded = self.within_bounds(loading, needed, load).await;
        self.inner.metrics.load_took(begun.elapsed(), loaded.as_ref().err().map(Error::label));
        loaded
    }

    async fn within_bounds<T>(
        &self,
        loading: &Loading,
        needed: impl Future<Output = ()>,
        load: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let store = &self.inner.store;
        let deadline = from_now(self.policy.hard_timeout);
        let _permit = if loading.is_within(store.id()) {
            None
        } else {
            let place = async {
                tokio::select! {
                    biased;
                    // It is never closed.
                    permit = Arc::clone(&store.loads).acquire_owned() => permit.ok(),
                    () = needed => None,
                }
            };
            let late = |_| Error::new(ErrorKind::TimedOut, "too many loads run");
            timeout_at(deadline, place).await.map_err(late)?
        };
        match timeout_at(deadline, AssertUnwindSafe(load).catch_unwind()).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err(Error::new(ErrorKind::Panicked, "")),
            Err(_) => Err(Error::new(ErrorKind::TimedOut, "")),
        }
    }
}
