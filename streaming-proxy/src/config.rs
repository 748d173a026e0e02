//! How a [`Forwarder`](crate::Forwarder) and its routes behave. The server's is
//! [`ServerConfig`](crate::server::ServerConfig).

mod answers;
mod balance;
mod health;
mod proxy;
mod route;
mod upstream;

pub use crate::config::answers::{Answers, CookieDomain};
pub use crate::config::balance::Balance;
pub use crate::config::health::HealthCheck;
pub use crate::config::proxy::{HostHeader, ProxyConfig};
pub use crate::config::route::{Priority, Retries, Timeouts};
pub use crate::config::upstream::HttpVersion;
#[cfg(feature = "http2")]
pub use crate::config::upstream::UpstreamHttp2;
pub use crate::config::upstream::{RetryBudget, UpstreamConfig};
#[cfg(feature = "tls")]
pub use crate::upstream::tls::Roots;
