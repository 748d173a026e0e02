//! A two-tier cache: memory over Redis, or memory alone with the same meaning.
//!
//! [`Cache::get_or_load`] answers from this process's memory, else from Redis, else from one load that all
//! callers share. Redis being slow, stopped or gone makes that slower and never an error.
//!
//! ```
//! use std::time::Duration;
//! use tramline_cache::{Cache, CacheConfig, Key, Policy, Tag};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::memory(CacheConfig::default());
//! let user = Tag::new("user", &["7"])?;
//! let policy = Policy::new(Duration::from_secs(60)).with_tags([user.clone()])?;
//! let key = Key::new("profile", &["7", "short"])?;
//!
//! let load = || async { Ok::<_, std::fmt::Error>("Ada".to_owned()) };
//! assert_eq!(cache.get_or_load(&key, &policy, load).await?, "Ada");
//! assert_eq!(cache.get::<String>(&key, &policy).await.as_deref(), Some("Ada"));
//!
//! cache.invalidate_tag(&user).await;
//! assert_eq!(cache.get::<String>(&key, &policy).await, None);
//! assert_eq!(cache.stats().loads, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `redis` | yes | `Cache::redis`: the shared tier, and invalidation across processes |
//! | `test-support` | no | the conformance suite |
//!
//! # How it works
//!
//! A load belongs to the cache: a caller that goes away does not end it for the others, and a panic in it
//! is the panic of the caller that brought it, after which the next caller loads anew. In Redis a miss puts
//! a lease into the value's own slot. Only the load that holds it may write there, so that what was read
//! before an invalidation cannot come back after it, and other processes wait a moment for that load instead
//! of doing it too. A tag is a random mark in Redis that entries carry; removing the mark ends them all.
//!
//! [`Cache::run`] keeps the memory of this process true: it hears of every invalidation, and forgets
//! everything when it may have missed one. Without it, or while Redis is away, memory is trusted for
//! [`CacheConfig::detached_age`] only. Invalidations that Redis could not be told of are told before it is
//! used again.
//!
//! # Limits
//!
//! One Redis or a primary with replicas, no Redis Cluster: scripts touch a value and its tags together. An
//! invalidation that Redis could not be told of reaches other processes only when Redis is back.

mod cache;
pub mod config;
mod entry;
mod error;
pub mod key;
mod load;
mod metrics;
pub mod policy;
mod stats;
mod tier;

#[cfg(feature = "test-support")]
pub mod conformance;

pub use crate::cache::Cache;
pub use crate::config::CacheConfig;
pub use crate::error::{Error, ErrorKind};
pub use crate::key::{Key, Tag};
pub use crate::policy::Policy;
pub use crate::stats::Stats;
