//! A hit in memory allocates nothing, and what is held is what was counted. A binary of its own: its allocator counts.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::alloc::System;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::Mutex;
use tramline_cache::{Cache, CacheConfig, Clock, Policy, Refresh, Store, StoreConfig, Tag};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the allocator counts is of the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn hits(cache: &Cache<u64, String>) {
    for n in 0..1_000 {
        let key = n % 10;
        let missing = move || async move { Err::<String, _>(std::fmt::Error) };
        let lost = move || async move { Err::<Option<String>, _>(std::fmt::Error) };
        assert!(cache.get_or_load(&key, missing).await.is_ok());
        assert!(cache.get_or_find(&key, lost).await.is_ok());
        assert!(cache.answer(&key, lost).await.is_ok());
        assert!(cache.get(&key).await.is_some());
        assert!(cache.peek(&key).is_some());
    }
}

/// What else lives in the process may allocate now and then; not each time.
async fn allocated(cache: &Cache<u64, String>) -> Vec<usize> {
    hits(cache).await;
    let mut counted = Vec::new();
    for _ in 0..5 {
        let region = Region::new(ALLOCATOR);
        hits(cache).await;
        counted.push(region.change().allocations);
    }
    counted
}

#[tokio::test]
async fn a_hit_allocates_nothing() {
    let _alone = ALONE.lock().await;
    let mut config = CacheConfig::new("texts");
    config.policy = Policy::new(Duration::from_secs(600));
    config.policy.refresh = Refresh::Early { beta: 1.0 };
    config.policy.stale_for = Some(Duration::from_secs(600));
    config.policy.tags = vec![Tag::of("tag")];
    let mut store = StoreConfig::default();
    store.clock = Clock::manual();
    let clock = store.clock.clone();
    let cache: Cache<u64, String> = Store::memory(store).cache(config).unwrap();
    for key in 0..10 {
        cache.set(&key, "text".to_owned()).await;
    }
    assert!(allocated(&cache).await.contains(&0));
    // Nor where a load by another policy has failed, for as long as it is not tried again, and after that.
    let mut strict = Policy::new(Duration::from_secs(1));
    strict.stale_for = Some(Duration::from_secs(600));
    let strict = cache.with_policy(strict).unwrap();
    for wait in [2, 30] {
        clock.advance(Duration::from_secs(wait));
        for key in 0..10 {
            strict.get_or_load(&key, async || Err::<String, _>(std::fmt::Error)).await.unwrap();
        }
        assert!(allocated(&cache).await.contains(&0));
        clock.advance(Duration::from_secs(30));
        assert!(allocated(&cache).await.contains(&0));
    }
}

/// Three times as many values as there may be: how many bytes live then for each byte of the bound.
async fn held<V>(weighs: u64, value: impl Fn() -> V) -> f64
where
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    const WEIGHT: u64 = 4 * 1024 * 1024;
    let region = Region::new(ALLOCATOR);
    let mut config = CacheConfig::new("values");
    config.max_weight = WEIGHT;
    let cache: Cache<String, V> = Store::memory(StoreConfig::default()).cache(config).unwrap();
    for n in 0..3 * WEIGHT / weighs {
        cache.set(&n.to_string(), value()).await;
    }
    let live = region.change();
    (live.bytes_allocated as f64 - live.bytes_deallocated as f64) / WEIGHT as f64
}

#[tokio::test]
async fn memory_holds_what_it_may_weigh() {
    let _alone = ALONE.lock().await;
    for size in [100, 1_024, 10_240] {
        let share = held(size, || "x".repeat(usize::try_from(size).unwrap())).await;
        assert!((0.6..1.1).contains(&share), "{share} with values of {size} bytes");
    }
    // What is shorter in text than it is, weighs as text.
    let share = held(2_000, || vec![0_u64; 1_000]).await;
    assert!((3.0..4.1).contains(&share), "{share} with numbers");
}
