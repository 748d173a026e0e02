//! Redis itself, and one that fails.

#[cfg(feature = "redis-cluster")]
mod cluster;
mod data;
#[cfg(feature = "redis-cluster")]
mod failover;
mod faults;
mod loads;
mod refusing;
mod rights;
mod sentinel;
mod slow;
mod tls;
mod trips;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, FromRedisValue, cmd};
use futures_util::future::join_all;

use super::*;
use crate::tier::suite::{Ear, slot, until};
use crate::tier::{Filled, Found, Heard, Tier};

/// One node with its figures.
struct Node {
    tier: Arc<Tier>,
    metrics: Arc<StoreMetrics>,
}

/// Speaks to Redis past the tier.
struct Raw(MultiplexedConnection);

/// Names of the call's own.
pub(in crate::tier) fn config(url: &str) -> RedisConfig {
    named(RedisConfig::new(url))
}

pub(in crate::tier) fn named(mut config: RedisConfig) -> RedisConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    config.prefix = format!("test:{}:{next}", std::process::id());
    // What is claimed here is not how fast a busy machine answers.
    config.response_timeout = Duration::from_secs(5);
    config.connect_timeout = Duration::from_secs(5);
    config.max_backoff = Duration::from_millis(200);
    config
}

/// The same names by another way.
fn at(url: &str, config: RedisConfig) -> RedisConfig {
    RedisConfig { servers: RedisConfig::new(url).servers, ..config }
}

pub(in crate::tier) fn node(config: &RedisConfig) -> Arc<Redis> {
    Redis::new(config.clone(), Arc::new(StoreMetrics::new())).unwrap()
}

/// A server of the test's own, and names on it.
async fn server() -> Option<(devkit::Redis, RedisConfig)> {
    devkit::engines::redis().await?;
    let server = devkit::Redis::start().await.unwrap();
    let config = config(&server.url());
    Some((server, config))
}

/// Asks until it is there again.
async fn back(node: &Node) {
    until(async || !matches!(node.tier.read(&slot()).await, Found::Away)).await;
}

/// The first answer about this slot that is one: nothing old may be among them.
async fn first(node: &Node, slot: &Slot) -> Found {
    let asking = async {
        loop {
            match node.tier.read(slot).await {
                // It may be away for seconds, which others need as well.
                Found::Away => tokio::time::sleep(Duration::from_millis(1)).await,
                found => return found,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("an answer in time")
}

/// Ends this until it is heard: nothing is said of what ends between a subscription and its beginning.
async fn ended_until_heard(node: &Node, ear: &mut Ear, ending: &Ending) {
    let ending_it = async {
        loop {
            node.tier.end(ending).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = ending_it => {}
        _ = ear.until(|heard| matches!(heard, Heard::Ended { ending: heard, .. } if heard == ending)) => {}
    }
}

// === impl Node ===

impl Node {
    fn new(config: &RedisConfig) -> Self {
        let metrics = Arc::new(StoreMetrics::new());
        let redis = Redis::new(config.clone(), metrics.clone()).unwrap();
        Self { tier: Arc::new(Tier::Redis(redis)), metrics }
    }

    fn errors(&self) -> u64 {
        self.metrics.tier_errors.get()
    }

    fn redis(&self) -> &Redis {
        match &*self.tier {
            Tier::Redis(redis) => redis,
            _ => unreachable!(),
        }
    }

    fn name(&self, slot: &Slot) -> String {
        self.redis().calls().names.value(slot)
    }

    fn is_open(&self) -> bool {
        self.redis().link.gate.is_open()
    }
}

// === impl Raw ===

impl Raw {
    async fn new(url: &str) -> Self {
        let client = ::redis::Client::open(url).unwrap();
        // The driver's own half a second is not enough on a busy machine.
        let time = Some(Duration::from_secs(20));
        let patient = AsyncConnectionConfig::new().set_response_timeout(time).set_connection_timeout(time);
        Self(client.get_multiplexed_async_connection_with_config(&patient).await.unwrap())
    }

    /// Words without spaces.
    async fn say<T: FromRedisValue>(&mut self, words: &str) -> T {
        let words: Vec<_> = words.split(' ').collect();
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.0).await.unwrap()
    }
}
