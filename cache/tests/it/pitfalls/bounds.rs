//! What is bounded.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tramline_cache::{Cache, CacheConfig, ErrorKind, Loaded, Policy, Store, Tag};

use crate::support::{Count, Held, Nodes, Texts, in_tokio_time, key, load, policy, text, texts};

const LONG: Duration = Duration::from_secs(60);

fn cache(change: impl FnOnce(&mut CacheConfig)) -> Texts {
    let mut config = CacheConfig::new("texts");
    config.policy = policy(LONG);
    change(&mut config);
    Store::memory(in_tokio_time()).cache(config).unwrap()
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_weight() {
    let cache = cache(|config| (config.max_weight, config.max_value) = (1_000_000, 100_000));
    for n in 0..500 {
        let value = "x".repeat(10_000);
        cache.set(&key(n), value).await;
        assert!(cache.stats().weight <= 1_000_000);
    }
    let entries = cache.stats().entries;
    assert!((50..100).contains(&entries), "{entries}");
    assert!(cache.peek(&key(499)).is_some(), "the newest");
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_number() {
    let cache = cache(|config| config.max_entries = 100);
    for n in 0..2_000 {
        load(&cache, &key(n), "x").await;
    }
    let entries = cache.stats().entries;
    assert!((50..=100).contains(&entries), "{entries}");

    // As many as may be have a place, however few.
    for many in 1..5 {
        let mut config = CacheConfig::new("numbers");
        (config.policy, config.max_entries) = (policy(LONG), many);
        let numbers: Cache<u64, u64> = Store::memory(in_tokio_time()).cache(config).unwrap();
        for n in 0..20 {
            numbers.set(&n, n).await;
        }
        assert_eq!(numbers.stats().entries, many);
    }
}

#[tokio::test(start_paused = true)]
async fn more_loads_than_may_run_wait() {
    let mut config = in_tokio_time();
    config.max_loads = 3;
    let store = Store::memory(config);
    let cache = texts(&store, &policy(LONG));
    let (running, most) = (Count::default(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let asked = (0..12).map(|n| {
        let (cache, running, most) = (cache.clone(), running.clone(), Arc::clone(&most));
        async move {
            let load = move || async move {
                most.fetch_max(running.add(), std::sync::atomic::Ordering::SeqCst);
                sleep(Duration::from_millis(100)).await;
                running.remove();
                Ok::<_, std::fmt::Error>("x".to_owned())
            };
            cache.get_or_load(&key(n), load).await.unwrap();
        }
    });
    let begun = Instant::now();
    join_all(asked).await;
    assert_eq!(most.load(std::sync::atomic::Ordering::SeqCst), 3);
    assert_eq!(begun.elapsed().as_millis(), 400);
    assert_eq!(store.stats().loading, 0);
}

/// A bound that cannot be meant, or is none.
#[tokio::test(start_paused = true)]
async fn any_number_of_loads_may_be_allowed() {
    for max_loads in [0, 1, usize::MAX] {
        let mut config = in_tokio_time();
        config.max_loads = max_loads;
        let store = Store::memory(config);
        let cache = texts(&store, &policy(LONG));
        let held = Held::begin(&cache, "one").await;
        assert_eq!(store.stats().loading, 1, "{max_loads}");
        assert_eq!(held.end(Ok("x")).await.unwrap(), "x");
        assert_eq!(store.stats().loading, 0);
    }
}

/// Who waits for too many others gives up as if its own load had taken too long.
#[tokio::test(start_paused = true)]
async fn waiting_for_other_loads_is_a_part_of_the_time_that_a_load_may_take() {
    let mut config = in_tokio_time();
    config.max_loads = 1;
    let store = Store::memory(config);
    let mut hasty = policy(LONG);
    hasty.hard_timeout = Duration::from_secs(1);
    let cache = texts(&store, &hasty);
    let patient = cache.with_policy(policy(LONG)).unwrap();
    let held = Held::begin(&patient, "one").await;
    let begun = Instant::now();
    let error = crate::support::fail(&cache, "two").await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::TimedOut, Duration::from_secs(1)));
    assert_eq!(held.end(Ok("x")).await.unwrap(), "x");
    assert_eq!(load(&cache, "two", "y").await, "y");
}

#[tokio::test(start_paused = true)]
async fn an_entry_has_no_more_tags_than_can_be_looked_at() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let tags = |many: usize| (0..many).map(|n| Tag::new("tag", &key(n))).collect::<Vec<_>>();
    let mut policy = Policy::new(LONG);
    policy.tags = tags(17);
    assert_eq!(a.with_policy(policy.clone()).unwrap_err().kind(), ErrorKind::Config);
    policy.tags = tags(16);
    let full = a.with_policy(policy).unwrap();
    let tagged = |many: usize| {
        move || async move { Ok::<_, std::fmt::Error>(Loaded::new("x".to_owned()).with_tags(tags(many))) }
    };
    // As many as may be, by the policy or by the load.
    assert_eq!(load(&full, "full", "x").await, "x");
    assert_eq!(text(b.get(&key("full")).await), Some("x"));
    // What ended before it began is no reason to doubt the tags that it brings.
    nodes.stores[1].invalidate_tag(&Tag::of("other")).await;
    b.invalidate(&key("other")).await;
    sleep(Duration::from_millis(1)).await;
    a.get_or_load(&key("late"), tagged(16)).await.unwrap();
    assert_eq!(text(a.peek(&key("late"))), Some("x"));
    assert_eq!(
        text(b.get(&key("late")).await),
        Some("x"),
        "nothing has ended, so that the tier has it at once"
    );
    let new = || async { Ok::<_, std::fmt::Error>(Loaded::new("x".to_owned()).with_tags([Tag::of("new")])) };
    a.get_or_load(&key("new"), new).await.unwrap();
    assert_eq!(text(b.get(&key("new")).await), Some("x"), "of a tag that nobody had, too");
    // One more: it is answered, and kept nowhere.
    for (cache, many) in [(a, 17), (&full, 1)] {
        let unusable = a.stats().unusable;
        cache.get_or_load(&key("more"), tagged(many)).await.unwrap();
        for node in [a, b] {
            assert_eq!(node.get(&key("more")).await, None);
        }
        assert_eq!(a.stats().unusable, unusable + 1);
    }
    // What cannot be kept ends what was there: neither what is too large, nor what has too many tags.
    a.set(&key("set"), "x".to_owned()).await;
    let written = a.stats().written_bytes;
    a.set(&key("set"), "x".repeat(1024 * 1024)).await;
    assert_eq!(a.stats().written_bytes, written, "nor is it sent");
    for node in [a, b] {
        assert_eq!(node.get(&key("set")).await, None);
    }
    a.set(&key("set"), "x".to_owned()).await;
    a.set(&key("set"), Loaded::new("y".to_owned()).with_tags(tags(17))).await;
    for node in [a, b] {
        assert_eq!(node.get(&key("set")).await, None);
    }
}

/// Whoever wants no bound says so by the longest time there is.
#[tokio::test(start_paused = true)]
async fn times_without_end_are_no_trouble() {
    let nodes = Nodes::new(2, |config| {
        config.max_ttl = Duration::MAX;
        config.cut_policies = true;
        config.lease_wait = Duration::MAX;
        config.lease_ttl = Duration::MAX;
        config.detached_age = Duration::MAX;
        config.max_loads = usize::MAX;
    })
    .await;
    let mut endless = policy(Duration::MAX);
    endless.hard_timeout = Duration::MAX;
    endless.stale_for = Some(Duration::MAX);
    endless.soft_timeout = Some(Duration::MAX);
    endless.negative_ttl = Some(Duration::MAX);
    endless.retry_after = Duration::MAX;
    let [a, b] = &nodes.texts(&endless)[..] else { unreachable!() };
    assert_eq!(nodes.stores[0].stats().loading, 0);
    let held = Held::begin(a, "one").await;
    assert_eq!(nodes.stores[0].stats().loading, 1);
    let waiting = tokio::spawn({
        let b = b.clone();
        async move { load(&b, "one", "b").await }
    });
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(held.end(Ok("a")).await.unwrap(), "a");
    assert_eq!(waiting.await.unwrap(), "a");
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(text(b.get(&key("one")).await), Some("a"));
    // Over a value that stays to be read.
    endless.ttl = Duration::from_secs(1);
    let [a, b] = [a, b].map(|node| node.with_policy(endless.clone()).unwrap());
    assert_eq!(load(&a, "two", "old").await, "old");
    sleep(Duration::from_secs(1)).await;
    let held = Held::begin(&a, "two").await;
    let waiting = tokio::spawn(async move { load(&b, "two", "b").await });
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(held.end(Ok("new")).await.unwrap(), "new");
    assert_eq!(waiting.await.unwrap(), "new");
}

/// No time at all is odd, and does no harm.
#[tokio::test(start_paused = true)]
async fn no_time_at_all_is_no_trouble() {
    let nodes = Nodes::new(2, |config| {
        config.lease_wait = Duration::ZERO;
        config.lease_ttl = Duration::ZERO;
        config.detached_age = Duration::ZERO;
        config.max_loads = 0;
    })
    .await;
    let mut hasty = policy(LONG);
    hasty.retry_after = Duration::ZERO;
    hasty.stale_for = Some(Duration::ZERO);
    let [a, b] = &nodes.texts(&hasty)[..] else { unreachable!() };
    assert_eq!(nodes.stores[0].stats().loading, 0);
    let held = Held::begin(a, "one").await;
    assert_eq!(nodes.stores[0].stats().loading, 1, "one may run, or nothing could be answered");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(load(b, "one", "b").await, "b");
    assert_eq!(held.end(Ok("a")).await.unwrap(), "a");
    assert_eq!(load(a, "one", "other").await, "b");
}

/// However many cores the machine has, and however small memory is beside it.
#[tokio::test(start_paused = true)]
async fn the_largest_value_has_a_place_in_memory() {
    for max_weight in [2, 4, 16] {
        let cache = cache(|config| config.max_weight = max_weight * 1024 * 1024);
        cache.set(&key("one"), "x".repeat(1024 * 1024 - 2)).await;
        assert_eq!(cache.stats().entries, 1, "{max_weight} MiB");
        cache.set(&key("two"), "x".repeat(1024 * 1024 - 1)).await;
        assert_eq!(
            (cache.stats().entries, cache.stats().unusable),
            (1, 1),
            "with its quotes it is too large"
        );
    }
}

/// Names of any length, and tags: they weigh what they cost.
#[tokio::test(start_paused = true)]
async fn keys_and_tags_weigh_too() {
    let long = cache(|config| (config.max_weight, config.max_value) = (1_000_000, 100_000));
    for n in 0..500 {
        load(&long, &format!("{n}{}", "x".repeat(8_000)), "x").await;
        assert!(long.stats().weight <= 1_000_000);
    }
    assert!((60..=125).contains(&long.stats().entries), "{:?}", long.stats());
    let tagged = cache(|config| {
        (config.max_weight, config.max_value) = (100_000, 10_000);
        config.policy.tags = (0..16).map(|n| Tag::of(&n.to_string())).collect();
    });
    for n in 0..500 {
        load(&tagged, &key(n), "x").await;
    }
    assert!((20..=60).contains(&tagged.stats().entries), "{:?}", tagged.stats());
}

/// What is ended here leaves its place at once.
#[tokio::test(start_paused = true)]
async fn what_is_ended_weighs_nothing() {
    let cache = cache(|_| {});
    for n in 0..100 {
        cache.set(&key(n), "x".to_owned()).await;
    }
    for n in 0..50 {
        cache.invalidate(&key(n)).await;
    }
    assert_eq!(cache.stats().entries, 50);
    cache.invalidate_all().await;
    assert_eq!((cache.stats().entries, cache.stats().weight), (0, 0));
    // All of it by another node, or since something may have been missed.
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    for missed in [false, true] {
        load(a, "one", "x").await;
        assert_eq!(a.stats().entries, 1);
        if missed {
            nodes.twin.cut(0);
            sleep(Duration::from_millis(1)).await;
            nodes.twin.heal(0);
        } else {
            b.invalidate_all().await;
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!((a.stats().entries, a.stats().weight), (0, 0), "missed: {missed}");
    }
}
