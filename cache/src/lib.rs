//! A two-tier cache.

pub mod clock;
mod codec;
pub mod config;
mod envelope;
mod answer;
mod cache;
mod entry;
mod epochs;
mod error;
mod flight;
mod memory;
mod stats;
mod store;
pub mod key;
mod loaded;
mod mark;
mod metrics;
pub mod policy;
mod tier;

pub use crate::answer::{Answer, Outcome};
pub use crate::cache::Cache;
pub use crate::clock::Clock;
pub use crate::stats::{Stats, StoreStats};
pub use crate::store::Store;
pub use crate::codec::Codec;
pub use crate::config::{CacheConfig, StoreConfig};
#[cfg(feature = "redis")]
pub use crate::config::RedisConfig;
pub use crate::error::{Error, ErrorKind};
pub use crate::key::{CacheKey, KeyPart, KeyParts, Tag};
pub use crate::loaded::Loaded;
pub use crate::policy::{Policy, Refresh};
