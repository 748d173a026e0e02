#![doc = include_str!("../README.md")]

mod body;
mod clock;
pub mod config;
pub mod edge;
mod error;
mod forward;
mod forwarder;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod journal;
pub mod layer;
mod metrics;
pub mod path;
mod resilience;
pub mod respond;
pub mod route;
pub mod server;
mod trust;
mod upgrade;
mod upstream;

pub use crate::body::ProxyBody;
pub use crate::config::{ProxyConfig, UpstreamConfig};
pub use crate::error::{ErrorKind, ProxyError, Sent, Side, Stage};
pub use crate::forwarder::{ForwardFuture, Forwarder};
pub use crate::route::{Route, Routes};
pub use crate::trust::{ForwardedFamily, Peer, TrustedProxies};
pub use crate::upstream::Upstream;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/gateway.md")]
mod guide {}
