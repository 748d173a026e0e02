//! Layers to put in front of a [`Forwarder`](crate::Forwarder), or of anything else.

pub mod access_log;
pub mod body_limit;
pub mod body_rate;
#[cfg(feature = "compression")]
pub mod compression;
pub mod normal_path;
pub mod rate_limit;
pub mod request_id;
pub mod respond;
pub mod security_headers;
