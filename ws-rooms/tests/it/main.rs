//! The crate from outside: nodes, sockets in memory under paused time, and a real HTTP server.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step fails the test; clippy knows test functions, not their helpers"
)]

mod admin;
mod auth;
mod authorisers;
mod backplane;
#[cfg(feature = "event-hub")]
mod bridge;
mod client;
mod counts;
mod delivery;
mod drain;
mod floods;
mod frames;
mod goodbyes;
mod heartbeat;
mod http;
mod limits;
mod no_holes;
mod places;
mod presence;
mod recovery;
mod refusals;
mod renewal;
mod revocation;
mod rfc6455;
mod slow;
mod slow_tls;
mod slow_uplink;
mod storm;
mod support;
mod vectors;
