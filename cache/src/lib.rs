#![doc = include_str!("../README.md")]

mod answer;
mod cache;
mod clock;
mod codec;
mod config;
#[cfg(feature = "test-support")]
pub mod conformance;
mod entry;
mod envelope;
mod epochs;
mod error;
mod flight;
mod key;
#[cfg(feature = "tower")]
pub mod layer;
mod loaded;
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "without Redis nobody reads marks as text"))]
mod mark;
mod memory;
mod metrics;
mod policy;
mod stats;
mod store;
#[cfg_attr(
    not(any(feature = "redis", feature = "test-support")),
    allow(dead_code, reason = "in memory alone nobody speaks of a tier")
)]
mod tier;

pub use crate::answer::{Answer, Outcome};
pub use crate::cache::Cache;
pub use crate::clock::Clock;
pub use crate::codec::Codec;
#[cfg(feature = "redis")]
pub use crate::config::RedisConfig;
pub use crate::config::{CacheConfig, StoreConfig};
pub use crate::error::{Error, ErrorKind};
pub use crate::key::{CacheKey, KeyPart, KeyParts, Tag};
pub use crate::loaded::Loaded;
pub use crate::policy::{Policy, Refresh};
pub use crate::stats::{CacheStats, Stats, StoreStats};
pub use crate::store::Store;
#[cfg(any(test, feature = "test-support"))]
pub use crate::tier::twin;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/caching.md")]
mod guide {}
