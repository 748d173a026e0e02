//! What a server needs that nothing stands in front of.
//!
//! Each is a value of a [`ServerConfig`](crate::server::ServerConfig).

pub(crate) mod min_rate;
pub(crate) mod per_address;
pub mod proxy_protocol;
#[cfg(feature = "tls")]
pub mod tls;

pub use crate::edge::min_rate::MinRate;
