//! Where answers are kept.

pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
