//! Redis itself, and one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

mod data;
mod faults;

/// Names of the call's own.
pub(in crate::tier) fn config(url: &str) -> RedisConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut config = RedisConfig::new(url);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    config.prefix = format!("test:{}:{next}", std::process::id());
    // What is claimed here is not how fast a busy machine answers.
    config.response_timeout = Duration::from_secs(5);
    config.connect_timeout = Duration::from_secs(5);
    config.max_pause = Duration::from_millis(200);
    config
}

pub(in crate::tier) fn node(config: &RedisConfig) -> Arc<Redis> {
    Redis::new(config.clone(), Arc::new(StoreMetrics::new())).unwrap()
}

async fn raw(url: &str) -> ::redis::aio::MultiplexedConnection {
    ::redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}
