//! A hit in memory allocates nothing. A binary of its own: its allocator counts.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tramline_cache::{Cache, CacheConfig, Policy, Refresh, Store, StoreConfig, Tag};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

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

#[tokio::test]
async fn a_hit_allocates_nothing() {
    let mut config = CacheConfig::new("texts");
    config.policy = Policy::new(Duration::from_secs(600));
    config.policy.refresh = Refresh::Early(1.0);
    config.policy.stale_for = Some(Duration::from_secs(600));
    config.policy.tags = vec![Tag::of("tag")];
    let cache: Cache<u64, String> = Store::memory(StoreConfig::default()).cache(config).unwrap();
    for key in 0..10 {
        cache.set(&key, "text".to_owned()).await;
    }
    hits(&cache).await;
    // What else lives in the process may allocate now and then; not each time.
    let mut counted = Vec::new();
    for _ in 0..5 {
        let region = Region::new(ALLOCATOR);
        hits(&cache).await;
        counted.push(region.change().allocations);
    }
    assert!(counted.contains(&0), "{counted:?}");
}
