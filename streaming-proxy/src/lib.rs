#![doc = include_str!("../README.md")]

mod body;
pub mod config;
pub mod edge;
mod error;
mod forward;
mod headers;
pub mod layer;
mod metrics;
mod proxy;
pub mod respond;
pub mod route;
pub mod server;
mod trust;
mod upgrade;
mod upstream;

pub use crate::body::Body;
pub use crate::config::{ProxyConfig, UpstreamConfig};
pub use crate::error::{Error, ErrorKind, Side};
pub use crate::proxy::{Proxy, ProxyFuture};
pub use crate::route::{Route, Routes};
pub use crate::trust::{ForwardedFamily, Peer, TrustedProxies};
pub use crate::upstream::Upstream;
