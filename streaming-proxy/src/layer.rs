//! Layers to put in front of a [`Forwarder`](crate::Forwarder), or of anything else.

pub mod rate_limit;
pub mod respond;
