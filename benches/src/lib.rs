//! Load programs of our crates, which `cargo dev bench` runs beside those of their peers.
//!
//! See `README.md` for how to run them and how to read what they tell.

#[cfg(feature = "event-hub")]
pub mod event_hub;
// It waits with epoll and reads `/proc`: nothing of that is anywhere else.
#[cfg(all(feature = "proxy", target_os = "linux"))]
pub mod proxy;
#[cfg(feature = "proxy-full")]
pub mod proxy_full;
