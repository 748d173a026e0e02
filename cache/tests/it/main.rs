//! The cache in memory, on the twin of Redis, on a real Redis, and on one that fails.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod config;
mod faults;
mod figures;
mod http_cache;
mod linear;
mod memory;
mod pitfalls;
mod redis;
mod redis_races;
mod secrets;
mod shown;
mod support;
mod telemetry;
mod twin;
mod unheard;
mod unusable;
mod warnings;

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tramline_cache::Store;

/// Lets a store hear the others for as long as this is kept.
pub(crate) fn running(store: &Store) -> AbortOnDropHandle<()> {
    let store = store.clone();
    AbortOnDropHandle::new(tokio::spawn(async move { store.run(std::future::pending()).await }))
}

pub(crate) async fn until(reached: impl Fn() -> bool) {
    let waited = async {
        while !reached() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), waited).await.expect("reached in time");
}
