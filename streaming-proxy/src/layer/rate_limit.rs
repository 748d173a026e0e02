//! Rate limits by key: an address, a user, a session.
//!
//! The algorithm is GCRA: a bucket of the full number that fills evenly, so that `100/min` allows a hundred requests
//! at once and then one every 600 ms. In the process ([`Limiter::memory`]) or shared by all processes on one Redis
//! (`Limiter::redis`, feature `redis`).
//!
//! ```
//! use tramline_streaming_proxy::layer::rate_limit::{Limiter, LimiterConfig, Quota};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let quota: Option<Quota> = Quota::parse("2/min")?; // `off` is `None`
//! let limiter = Limiter::memory("login", quota, LimiterConfig::default());
//!
//! assert!(limiter.check("203.0.113.7").await.is_allowed());
//! assert!(limiter.check("203.0.113.7").await.is_allowed());
//! let refused = limiter.check("203.0.113.7").await;
//! assert!(!refused.is_allowed());
//!
//! let mut headers = http::HeaderMap::new();
//! refused.write(&mut headers);
//! assert_eq!(headers["ratelimit-policy"], "\"login\";q=2;w=60");
//! assert_eq!(headers["ratelimit"], "\"login\";r=0;t=30");
//! assert_eq!(headers["retry-after"], "30");
//! # Ok::<(), tramline_streaming_proxy::ProxyError>(())
//! # }).unwrap();
//! ```

mod decision;
mod memory;
mod quota;
#[cfg(feature = "redis")]
mod redis;
mod service;

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, counter, gauge};

#[cfg(feature = "redis")]
use crate::error::ProxyError;
use crate::layer::rate_limit::memory::Memory;

pub use crate::layer::rate_limit::decision::Decision;
pub use crate::layer::rate_limit::quota::Quota;
pub use crate::layer::rate_limit::service::{RateLimit, RateLimitFuture, RateLimitLayer};

/// A limit and what each key has used of it. Clones share it.
#[derive(Clone)]
pub struct Limiter {
    /// `None`: everything is allowed.
    shared: Option<Arc<Shared>>,
}

struct Shared {
    name: Arc<str>,
    quota: Quota,
    memory: Memory,
    #[cfg(feature = "redis")]
    redis: Option<(redis::Redis, OnFailure)>,
    allowed: Counter,
    refused: Counter,
}

/// How a [`Limiter`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimiterConfig {
    /// How many keys are remembered in the process. When there are more, those not used for longest are forgotten:
    /// whoever comes from so many addresses that its own are forgotten, has more addresses than a limit by address
    /// can hold.
    ///
    /// The default, 100,000, is about 12 MiB when full.
    pub max_keys: usize,
    /// What keys begin with in Redis.
    pub prefix: String,
    /// How long Redis may take for an answer before [`on_failure`](Self::on_failure) decides.
    ///
    /// The default, 50 ms, is a hundred times what it takes; a request must not wait longer for its limit.
    pub redis_timeout: std::time::Duration,
    /// How long Redis is not asked after it failed.
    ///
    /// The default is 1 s: when Redis is away, one request a second notices.
    pub redis_pause: std::time::Duration,
    /// What decides while Redis is away. Of no matter without one.
    pub on_failure: OnFailure,
}

/// What a limiter on Redis does while Redis is away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The process counts for itself, so that a limit may be used once per process. The default: a limit that is
    /// some times too high is still one.
    #[default]
    Memory,
    /// Everything is allowed, and headers say nothing of the limit: for limits that only share fairly.
    Open,
    /// Nothing is allowed, to be tried again after [`redis_pause`](LimiterConfig::redis_pause): for limits that guard
    /// something, such as guesses at a code. [`Decision::is_failure`] tells such a refusal from one by the limit.
    Closed,
}

// === impl Limiter ===

impl Limiter {
    /// Everything is allowed, and nothing is written into headers.
    #[must_use]
    pub fn off() -> Self {
        Self { shared: None }
    }

    /// A limiter in the process. `name` is the policy's name in headers and metrics; without a quota it is
    /// [`off`](Self::off).
    #[must_use]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the same signature as `redis`, which keeps parts of it"
    )]
    pub fn memory(name: &str, quota: Option<Quota>, config: LimiterConfig) -> Self {
        let Some(quota) = quota else { return Self::off() };
        let name: Arc<str> = name.into();
        Self {
            shared: Some(Arc::new(Shared {
                memory: Memory::new(
                    quota,
                    config.max_keys,
                    gauge!("streaming_proxy.rate_limit.keys", "limit" => name.to_string()),
                ),
                #[cfg(feature = "redis")]
                redis: None,
                allowed: decisions(&name, "allowed"),
                refused: decisions(&name, "refused"),
                name,
                quota,
            })),
        }
    }

    /// A limiter shared through the Redis at `url`, which is connected in the background. While it is away,
    /// [`LimiterConfig::on_failure`] says what decides.
    ///
    /// TLS (`rediss://`) is rustls's, by the provider of the process. Where it has none yet, ring's is installed here: an
    /// application that wants another one installs that before.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the URL does not parse.
    #[cfg(feature = "redis")]
    pub fn redis(
        url: &str,
        name: &str,
        quota: Option<Quota>,
        config: LimiterConfig,
    ) -> Result<Self, ProxyError> {
        let shared = redis::Redis::new(url, name, &config)?;
        let on_failure = config.on_failure;
        let mut limiter = Self::memory(name, quota, config);
        if let Some(inner) = limiter.shared.as_mut().and_then(Arc::get_mut) {
            inner.redis = Some((shared, on_failure));
        }
        Ok(limiter)
    }

    /// Whether there is a limit at all.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.shared.is_none()
    }

    /// The limit, unless it is off.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        self.shared.as_ref().map(|shared| shared.quota)
    }

    /// Takes one from `key`'s bucket, if one is left.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it may or may not have been taken.
    pub async fn check(&self, key: &str) -> Decision {
        let Some(shared) = &self.shared else { return Decision::unlimited() };
        let decision = shared.decide(key).await;
        if decision.is_allowed() { &shared.allowed } else { &shared.refused }.increment(1);
        decision
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("quota", &self.quota()).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    #[cfg(feature = "redis")]
    async fn decide(&self, key: &str) -> Decision {
        let Some((redis, on_failure)) = &self.redis else { return self.memory(key) };
        match (redis.take(key, self.quota).await, on_failure) {
            (Some(bucket), _) => self.decision(bucket),
            (None, OnFailure::Memory) => self.memory(key),
            (None, OnFailure::Open) => Decision::unlimited(),
            (None, OnFailure::Closed) => Decision::failed(redis.pause()),
        }
    }

    #[cfg(not(feature = "redis"))]
    #[allow(clippy::unused_async, reason = "with the feature `redis` it waits")]
    async fn decide(&self, key: &str) -> Decision {
        self.memory(key)
    }

    fn memory(&self, key: &str) -> Decision {
        self.decision(self.memory.take(key))
    }

    fn decision(&self, bucket: decision::Bucket) -> Decision {
        Decision::new(self.name.clone(), self.quota, bucket)
    }
}

// === impl LimiterConfig ===

impl Default for LimiterConfig {
    fn default() -> Self {
        Self {
            max_keys: 100_000,
            prefix: "tramline:limit".to_owned(),
            redis_timeout: std::time::Duration::from_millis(50),
            redis_pause: std::time::Duration::from_secs(1),
            on_failure: OnFailure::default(),
        }
    }
}

fn decisions(name: &str, decision: &'static str) -> Counter {
    counter!("streaming_proxy.rate_limit", "limit" => name.to_owned(), "decision" => decision)
}

#[cfg(test)]
mod tests;
