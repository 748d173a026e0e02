//! One thing, counted once.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::sleep;
use tramline_cache::{CacheConfig, ErrorKind, Outcome, Policy, Store};

use crate::support::{Held, Nodes, Texts, find, in_tokio_time, key, load, policy, texts};

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

/// Beside `texts`.
fn caches_of(name: &str, nodes: &Nodes, policy: &Policy) -> Vec<Texts> {
    let mut config = CacheConfig::new(name);
    config.policy = policy.clone();
    nodes.stores.iter().map(|store| store.cache(config.clone()).unwrap()).collect()
}

async fn ask(cache: &Texts) -> Outcome {
    let fails = || async { Err::<Option<String>, _>(std::fmt::Error) };
    cache.answer(&key("one"), fails).await.unwrap().outcome
}

async fn ask_many(cache: &Texts) {
    let fails = |_| async { Err::<HashMap<String, String>, _>(std::fmt::Error) };
    assert_eq!(cache.get_many_or_load(&[key("one")], fails).await.unwrap().len(), 1);
}

/// Where callers wait for no load of what is old, an old answer is the usual one. That a source is gone is another thing.
#[tokio::test(start_paused = true)]
async fn old_answers_meanwhile_and_for_want_of_a_new_one_are_told_apart() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut swift = policy(LONG);
    (swift.soft_timeout, swift.stale_for) = (Some(Duration::ZERO), Some(10 * LONG));
    let stores = [&Store::memory(in_tokio_time()), &nodes.stores[0]];
    for cache in stores.map(|store| texts(store, &swift)) {
        load(&cache, "one", "old").await;
        sleep(LONG).await;
        assert_eq!(ask(&cache).await, Outcome::Stale, "it is being loaded");
        ask_many(&cache).await;
        let seen = cache.stats();
        assert_eq!((seen.stale, seen.stale_if_error, seen.misses), (2, 0, 1));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(cache.stats().load_errors, 1);
        assert_eq!(ask(&cache).await, Outcome::StaleIfError, "it was");
        ask_many(&cache).await;
        assert_eq!((cache.stats().stale, cache.stats().stale_if_error), (2, 2));
        sleep(swift.retry_after).await;
        // Once more.
        let held = Held::begin(&cache, "one").await;
        assert_eq!(ask(&cache).await, Outcome::Stale);
        held.end(Ok("new")).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(ask(&cache).await, Outcome::Hit);
    }

    // Left to another process for a while, which is no failure.
    let [a, b] = &caches_of("left", &nodes, &swift)[..] else { unreachable!() };
    load(a, "one", "old").await;
    sleep(LONG).await;
    let held = Held::begin(a, "one").await;
    assert_eq!(ask(b).await, Outcome::Stale);
    // It has waited for that load long enough by now.
    sleep(Duration::from_millis(2_100)).await;
    assert_eq!((ask(b).await, b.stats().loads), (Outcome::Stale, 0));
    held.end(Err(std::fmt::Error)).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((ask(a).await, ask(b).await), (Outcome::StaleIfError, Outcome::Stale), "b did not hear of it");

    // Who waits for a load that fails.
    let mut patient = swift.clone();
    patient.soft_timeout = None;
    let waits = a.with_policy(patient).unwrap();
    sleep(swift.retry_after).await;
    let held = Held::begin(&waits, "one").await;
    let follows = tokio::spawn({
        let waits = waits.clone();
        async move { ask(&waits).await }
    });
    sleep(Duration::from_millis(1)).await;
    held.end(Err(std::fmt::Error)).await.unwrap();
    assert_eq!(follows.await.unwrap(), Outcome::StaleIfError);
}

/// A cache that is looked into by `get` has no hit ratio of its own making.
#[tokio::test(start_paused = true)]
async fn a_look_that_finds_nothing_is_no_load() {
    let nodes = Nodes::new(1, |_| {}).await;
    for store in [&Store::memory(in_tokio_time()), &nodes.stores[0]] {
        let cache = texts(store, &policy(LONG));
        for name in ["one", "two"] {
            assert_eq!(cache.get(&key(name)).await, None);
        }
        assert_eq!((cache.stats().misses, cache.stats().absent, cache.stats().hit_ratio()), (0, 2, None));
        load(&cache, "one", "x").await;
        cache.get(&key("one")).await;
        assert_eq!((cache.stats().misses, cache.stats().hit_ratio()), (1, Some(0.5)));
    }
}
