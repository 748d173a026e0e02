//! The cache on a real Redis.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tramline_cache::conformance::{self, Nodes};
use tramline_cache::{CacheConfig, ErrorKind, RedisConfig, Store, StoreConfig};

use super::*;

/// The same.
pub(crate) fn redis(url: &str) -> RedisConfig {
    named(RedisConfig::new(url))
}

/// Names of the test's own.
pub(crate) fn named(mut redis: RedisConfig) -> RedisConfig {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    redis.prefix = format!("test:{}:{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    redis.max_pause = Duration::from_millis(200);
    // What is held together here is not how fast a busy machine answers.
    redis.response_timeout = Duration::from_secs(2);
    redis
}

/// A store that hears the others.
pub(crate) async fn node(redis: RedisConfig) -> (Store, AbortOnDropHandle<()>) {
    let store = Store::redis(redis, StoreConfig::default()).unwrap();
    let run = running(&store);
    until(|| store.stats().attached).await;
    (store, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let Some(url) = devkit::engines::redis().await else { return };
    check(&RedisConfig::new(url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_conforms() {
    let Some(urls) = devkit::engines::redis_cluster().await else { return };
    check(&RedisConfig::cluster(urls)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_behind_sentinels_conforms() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let watched = devkit::RedisSentinels::start().await.unwrap();
    check(&RedisConfig::sentinel(watched.urls(), devkit::RedisSentinels::MASTER)).await;
}

async fn check(redis: &RedisConfig) {
    let running = Mutex::new(Vec::new());
    conformance::check(|| async {
        let names = named(redis.clone());
        let ((a, run_a), (b, run_b)) = (node(names.clone()).await, node(names).await);
        // Those of the check before are not needed any more, and take time from these.
        *running.lock().unwrap() = vec![run_a, run_b];
        Nodes::new(a, b)
    })
    .await;
}

#[tokio::test]
async fn a_url_that_is_none_and_a_name_that_is_taken_are_the_only_errors() {
    for url in ["", "http://localhost", "redis//x"] {
        let error = Store::redis(RedisConfig::new(url), StoreConfig::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
    }
    let store = Store::memory(StoreConfig::default());
    let first = store.cache::<u64, u64>(CacheConfig::new("one")).unwrap();
    assert_eq!(store.cache::<u64, u64>(CacheConfig::new("one")).unwrap_err().kind(), ErrorKind::Config);
    drop(first);
    assert!(store.cache::<u64, u64>(CacheConfig::new("one")).is_ok(), "its last handle is gone");
    for name in ["", "A", "a b", "a{b}", &"a".repeat(33)] {
        assert_eq!(store.cache::<u64, u64>(CacheConfig::new(name)).unwrap_err().kind(), ErrorKind::Config);
    }
    let mut config = CacheConfig::new("two");
    config.policy.jitter = 1.1;
    assert_eq!(store.cache::<u64, u64>(config).unwrap_err().kind(), ErrorKind::Config);
}
