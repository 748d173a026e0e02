//! Layers to put in front of a [`Proxy`](crate::Proxy), or of anything else.

pub mod rate_limit;
