//! The crate from outside: nodes, sockets in memory under paused time, and a real HTTP server.

mod auth;
#[cfg(feature = "event-hub")]
mod bridge;
mod delivery;
mod drain;
mod frames;
mod heartbeat;
mod http;
mod limits;
mod no_holes;
mod presence;
mod recovery;
mod slow;
mod support;
mod vectors;
