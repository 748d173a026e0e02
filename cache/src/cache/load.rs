//! The life of one load.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::cache::{Inner, shared};
use crate::entry::{Entry, Stamps};
use crate::key::Key;
use crate::load::Lead;
use crate::policy::Policy;
#[cfg(feature = "redis")]
use crate::tier::redis::{Filled, Found, Slot};

/// What followers get.
pub(super) struct Loaded<T, E> {
    pub(super) result: Result<T, E>,
    pub(super) from_redis: bool,
}

/// The keys that the current task is loading, one inside the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Loading(Vec<(usize, Key)>);

tokio::task_local! {
    static LOADING: Loading;
}

// === impl Loading ===

impl Loading {
    pub(super) fn current() -> Self {
        LOADING.try_with(Clone::clone).unwrap_or_default()
    }

    pub(super) fn has(&self, cache: usize, key: &Key) -> bool {
        self.0.iter().any(|(id, loading)| *id == cache && loading == key)
    }

    /// Whether a load of this cache asks.
    pub(super) fn is_within(&self, cache: usize) -> bool {
        self.0.iter().any(|(id, _)| *id == cache)
    }

    pub(super) fn with(mut self, cache: usize, key: &Key) -> Self {
        self.0.push((cache, key.clone()));
        self
    }

    pub(super) fn run<F: Future>(self, load: F) -> impl Future<Output = F::Output> + use<F> {
        LOADING.scope(self, load)
    }
}

// === impl Inner ===

impl Inner {
    /// Asks Redis, else loads; keeps the answer, unless it was invalidated meanwhile.
    pub(super) async fn load<T, E, F, Fut>(
        self: Arc<Self>,
        lead: Lead,
        key: Key,
        policy: Policy,
        stamps: Stamps,
        load: F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.gauges();
        #[cfg(not(feature = "redis"))]
        let _ = key;
        #[cfg(feature = "redis")]
        let slot = match self.ask_redis::<T>(&key, &policy).await {
            Ok((value, size, ttl)) => {
                self.metrics.hits_l2.add();
                let entry = Entry::new(Arc::new(value.clone()), size, ttl, stamps);
                let answer = Loaded::<T, E> { result: Ok(value.clone()), from_redis: true };
                if !lead.land(Some(entry), Some(shared(answer))) {
                    self.metrics.stale.add();
                }
                return Ok(value);
            }
            Err(slot) => slot,
        };
        self.metrics.misses.add();
        self.metrics.loads.add();
        // The closure itself may panic too, so it runs inside.
        let work = AssertUnwindSafe(async move { load().await }).catch_unwind();
        let mut work = std::pin::pin!(work);
        let (outcome, in_time) = match timeout(self.config.load_timeout, &mut work).await {
            Ok(outcome) => (outcome, true),
            Err(_) => {
                lead.overdue();
                (work.await, false)
            }
        };
        let result = match outcome {
            Ok(result) => result,
            Err(panic) => {
                self.metrics.errors.add();
                drop(lead);
                #[cfg(feature = "redis")]
                self.release(&key, slot).await;
                resume_unwind(panic);
            }
        };
        if result.is_err() {
            self.metrics.errors.add();
        }
        let kept = result.as_ref().ok().filter(|_| in_time).and_then(|value| {
            let (bytes, ttl) = self.encode(value, &policy)?;
            Some((Arc::new(value.clone()), bytes, ttl))
        });
        let entry = match kept {
            None => {
                #[cfg(feature = "redis")]
                self.release(&key, slot).await;
                None
            }
            Some((value, bytes, ttl)) => {
                #[cfg(feature = "redis")]
                let refused = self.fill(&key, &policy, slot, &bytes, ttl).await == Some(Filled::Refused);
                #[cfg(not(feature = "redis"))]
                let refused = false;
                if refused {
                    self.metrics.stale.add();
                }
                (!refused).then(|| Entry::new(value, bytes.len(), ttl, stamps))
            }
        };
        let had_entry = entry.is_some();
        let answer = Loaded { result: result.clone(), from_redis: false };
        if !lead.land(entry, Some(shared(answer))) && had_entry {
            self.metrics.stale.add();
        }
        self.gauges();
        result
    }

    /// The value as it is written, with its life; none when it is not to be kept.
    pub(super) fn encode<T: Serialize>(&self, value: &T, policy: &Policy) -> Option<(Vec<u8>, Duration)> {
        let mut bytes = format!("{}:", policy.version).into_bytes();
        let start = bytes.len();
        if serde_json::to_writer(&mut bytes, value).is_err() || bytes.len() > self.config.max_value {
            self.metrics.unusable.add();
            return None;
        }
        let negative = bytes.get(start..) == Some(b"null");
        let ttl = policy.draw_ttl(negative, self.config.max_ttl)?;
        Some((bytes, ttl))
    }

    #[cfg(feature = "redis")]
    async fn ask_redis<T: DeserializeOwned>(
        &self,
        key: &Key,
        policy: &Policy,
    ) -> Result<(T, usize, Duration), Option<Slot>> {
        let Some(redis) = &self.redis else { return Err(None) };
        match redis.lookup(key, policy, true).await {
            Found::Value(bytes, ttl) => match decode(&bytes, policy.version) {
                Some(value) => Ok((value, bytes.len(), ttl.min(self.config.max_ttl))),
                None => {
                    self.metrics.unusable.add();
                    redis.drop_bad(key, &bytes).await;
                    Err(None)
                }
            },
            Found::Nothing(slot) => Err(Some(slot)),
            Found::Busy | Found::Away => Err(None),
        }
    }

    #[cfg(feature = "redis")]
    async fn fill(
        &self,
        key: &Key,
        policy: &Policy,
        slot: Option<Slot>,
        bytes: &[u8],
        ttl: Duration,
    ) -> Option<Filled> {
        let (redis, slot) = (self.redis.as_ref()?, slot?);
        Some(redis.fill(key, policy, &slot, bytes, ttl).await)
    }

    #[cfg(feature = "redis")]
    async fn release(&self, key: &Key, slot: Option<Slot>) {
        if let (Some(redis), Some(slot)) = (&self.redis, slot) {
            redis.release(key, &slot).await;
        }
    }
}

/// Reads a value as [`Inner::encode`] writes it; none when it is of another version or cannot be read.
#[cfg(feature = "redis")]
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], version: u32) -> Option<T> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let (head, json) = (bytes.get(..colon)?, bytes.get(colon + 1..)?);
    if std::str::from_utf8(head).ok()?.parse() != Ok(version) {
        return None;
    }
    serde_json::from_slice(json).ok()
}
