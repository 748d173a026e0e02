//! What a server needs that nothing stands in front of.
//!
//! Each is a value of a [`ServerConfig`](crate::server::ServerConfig); what it answers itself are services and
//! [layers](crate::layer).

pub(crate) mod min_rate;
pub(crate) mod per_address;
pub mod proxy_protocol;
pub mod redirect;
#[cfg(feature = "tls")]
pub mod tls;

pub use crate::edge::min_rate::MinRate;
