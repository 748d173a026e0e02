//! What holds for every kind of store: run it against the Redis or Valkey that you have, as it is configured and by the user
//! that your services are to it. Give each check two stores with a prefix of its own, let both [run](crate::Store::run), and wait
//! until they are [attached](crate::StoreStats::attached).
//!
//! Each check takes two nodes that share what they share: one store in memory twice,
//! or two stores on one Redis, or on its twin, that hear each other.
//!
//! Checks wait for tokio's time to pass, so the stores of a suite on paused time take [`Clock::tokio`](crate::Clock::tokio).

mod endings;
mod harness;
mod loads;
mod many;
mod policies;

use std::future::Future;

pub use self::harness::Nodes;

/// Runs every check, each on nodes of its own.
///
/// # Panics
///
/// When one of them does not hold.
pub async fn check<F: Future<Output = Nodes>>(nodes: impl Fn() -> F) {
    loads::check(&nodes).await;
    endings::check(&nodes).await;
    policies::check(&nodes).await;
    many::check(&nodes).await;
}
