//! What a server needs that nothing stands in front of.
//!
//! Each is a value of a [`ServerConfig`](crate::server::ServerConfig), and off unless given.

#[cfg(feature = "tls")]
pub mod tls;
