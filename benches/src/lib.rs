//! Load programs of our crates, which `cargo dev bench` runs beside those of their peers.
//!
//! See `README.md` for how to run them and how to read what they tell.

#[cfg(feature = "cache")]
pub mod cache;
// What waits with epoll and reads `/proc` is there on Linux alone.
#[cfg(all(any(feature = "proxy", feature = "rooms"), target_os = "linux"))]
mod clock;
#[cfg(feature = "event-hub")]
pub mod event_hub;
#[cfg(all(any(feature = "proxy", feature = "rooms"), target_os = "linux"))]
mod process;
#[cfg(all(feature = "proxy", target_os = "linux"))]
pub mod proxy;
#[cfg(feature = "proxy-full")]
pub mod proxy_full;
#[cfg(all(feature = "rooms", target_os = "linux"))]
pub mod rooms;
#[cfg(feature = "rooms-server")]
pub mod rooms_server;
