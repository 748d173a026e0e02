//! A two-tier cache.

pub mod clock;
mod codec;
pub mod config;
mod envelope;
mod error;
pub mod key;
mod loaded;
mod mark;
mod metrics;
pub mod policy;
mod tier;

pub use crate::clock::Clock;
pub use crate::codec::Codec;
#[cfg(feature = "redis")]
pub use crate::config::RedisConfig;
pub use crate::config::{CacheConfig, StoreConfig};
pub use crate::error::{Error, ErrorKind};
pub use crate::key::{CacheKey, KeyPart, KeyParts, Tag};
pub use crate::loaded::Loaded;
pub use crate::policy::{Policy, Refresh};
