//! One thing, counted once.

use std::time::Duration;

use tokio::time::sleep;
use tramline_cache::{CacheConfig, ErrorKind, Store};

use crate::support::{Nodes, Texts, find, in_tokio_time, key, load, policy};

const LONG: Duration = Duration::from_secs(60);

/// That there is nothing is known, and is no answer to who wants something.
#[tokio::test(start_paused = true)]
async fn a_question_that_nothing_does_not_answer_is_one() {
    let nodes = Nodes::new(1, |_| {}).await;
    let mut policy = policy(LONG);
    policy.negative_ttl = Some(LONG);
    let [cache] = &nodes.texts(&policy)[..] else { unreachable!() };
    assert_eq!(find(cache, "one", None).await, None);
    assert_eq!(find(cache, "one", None).await, None);
    let before = cache.stats();
    assert_eq!((before.hits_memory, before.misses), (1, 1));
    assert_eq!(load(cache, "one", "something").await, "something");
    let after = cache.stats();
    assert_eq!((after.hits_memory, after.hits_shared, after.misses), (1, 0, 2));
}

/// By whom it was, each node counts it once.
#[tokio::test(start_paused = true)]
async fn an_ending_is_counted_once_on_each_node() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    a.invalidate_all().await;
    b.invalidate(&key("one")).await;
    b.invalidate_all().await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!([a, b].map(|node| node.stats().invalidations), [3, 3]);
    // Nobody ended anything.
    nodes.stop(1).await;
    nodes.twin.restart_empty();
    sleep(Duration::from_secs(5)).await;
    assert_eq!([a, b].map(|node| node.stats().invalidations), [3, 3]);
}

/// What memory has no place for is loaded each time: nobody should have to find out by the clock.
#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_memory_is_told() {
    let cache = |change: fn(&mut CacheConfig)| -> Result<Texts, _> {
        let mut config = CacheConfig::new("texts");
        config.policy = policy(LONG);
        change(&mut config);
        Store::memory(in_tokio_time()).cache(config)
    };
    let error = cache(|config| config.max_weight = 2 * 1024 * 1024 - 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(cache(|config| config.max_weight = 2 * 1024 * 1024).is_ok());

    let small = cache(|config| (config.max_weight, config.max_value) = (20_000, 10_000)).unwrap();
    load(&small, &"k".repeat(19_000), "x").await;
    assert_eq!((small.stats().entries, small.stats().unusable), (1, 0));
    let value = |letter: &str| letter.repeat(9_000);
    small.set(&"k".repeat(19_000), value("v")).await;
    assert_eq!((small.stats().entries, small.stats().unusable), (0, 1), "what was there is gone too");
    small.set(&key("short"), value("v")).await;
    assert_eq!((small.stats().entries, small.stats().unusable), (1, 1));
}
