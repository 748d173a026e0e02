//! Callers that go away, runtimes that end, and loads that wait for each other.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::time::{Instant, sleep, timeout};
use tramline_cache::{Cache, CacheConfig, Error, ErrorKind, Store, Tag};

use crate::support::{Nodes, Texts, in_tokio_time, key, load, policy, text};

const LONG: Duration = Duration::from_secs(60);

/// Polls it so often, with whatever else is to run in between, and drops it; false when it ended before.
async fn dropped_after(polls: usize, asked: impl Future) -> bool {
    let mut asked = pin!(asked);
    for _ in 0..polls {
        if poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await.is_ready() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

async fn ask(cache: &Texts, name: &str, takes: Duration) {
    let load = move || async move {
        sleep(takes).await;
        Ok::<_, std::fmt::Error>("first".to_owned())
    };
    let _ = cache.get_or_load(&key(name), load).await;
}

async fn ask_many(cache: &Texts, name: &str, takes: Duration) {
    let load = move |keys: Vec<String>| async move {
        sleep(takes).await;
        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "first".to_owned())).collect())
    };
    let _ = cache.get_many_or_load(&[key(name), key(format!("{name}-too"))], load).await;
}

/// Wherever a caller goes away, nothing is left behind: no lease, no flight, no permit.
#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_nothing_behind() {
    let nodes = Nodes::new(2, |config| {
        config.lease_ttl = Duration::from_secs(3_600);
        config.lease_wait = Duration::from_secs(7_200);
    })
    .await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let mut seen = 0;
    for many in [false, true] {
        for polls in 0..30 {
            let name = key(format!("{many}-{polls}"));
            let left = if many {
                dropped_after(polls, ask_many(a, &name, Duration::ZERO)).await
            } else {
                dropped_after(polls, ask(a, &name, Duration::ZERO)).await
            };
            seen += usize::from(left);
            let begun = Instant::now();
            for node in [b, a] {
                let answer = timeout(LONG, load(node, &name, "second")).await.expect("no lease is left");
                assert!(["first", "second"].contains(&&*answer));
            }
            assert!(begun.elapsed() < Duration::from_secs(1), "{name}: {:?}", begun.elapsed());
            assert_eq!(nodes.stores[0].stats().loading, 0);
        }
    }
    assert!((6..50).contains(&seen), "{seen} of them left before the end");
}

/// The same for writes, which go on.
#[tokio::test(start_paused = true)]
async fn a_write_whose_caller_goes_away_is_written() {
    let nodes = Nodes::new(2, |_| {}).await;
    let tag = Tag::of("tag");
    let mut tagged = policy(LONG);
    tagged.tags = vec![tag.clone()];
    let [a, b] = &nodes.texts(&tagged)[..] else { unreachable!() };
    for polls in 1..8 {
        let name = key(polls);
        for node in [a, b] {
            assert_eq!(load(node, &name, "old").await, "old");
        }
        dropped_after(polls, a.set(&name, "new".to_owned())).await;
        sleep(Duration::from_millis(1)).await;
        for node in [a, b] {
            assert_eq!(text(node.get(&name).await), Some("new"), "{polls}");
        }
        dropped_after(polls, b.invalidate(&name)).await;
        sleep(Duration::from_millis(1)).await;
        for node in [a, b] {
            assert_eq!(node.get(&name).await, None, "{polls}");
        }
        for all in [true, false] {
            b.set(&name, "old".to_owned()).await;
            if all {
                dropped_after(polls, a.invalidate_all()).await;
            } else {
                dropped_after(polls, nodes.stores[0].invalidate_tag(&tag)).await;
            }
            sleep(Duration::from_millis(1)).await;
            for node in [a, b] {
                assert_eq!(node.get(&name).await, None, "{polls}, all: {all}");
            }
        }
    }
}

/// Callers without patience see the answer in the end, and others that followed them at once.
#[tokio::test(start_paused = true)]
async fn callers_without_patience_do_not_starve_a_key() {
    let nodes = Nodes::new(1, |_| {}).await;
    nodes.twin.slow(0, Duration::from_millis(400));
    let [a] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let begun = Instant::now();
    while a.peek(&key("one")).is_none() {
        let _ = timeout(Duration::from_millis(20), ask(a, "one", Duration::from_millis(300))).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(a.stats().loads, 1);
}

/// A question after many follows another caller's question after one of them, and that caller goes away.
#[tokio::test(start_paused = true)]
async fn many_that_follow_one_whose_caller_goes_away_are_answered() {
    let nodes = Nodes::new(1, |_| {}).await;
    nodes.twin.slow(0, Duration::from_millis(100));
    let [a] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    for round in 0..20 {
        let (one, two) = (key(format!("{round}-one")), key(format!("{round}-two")));
        // The first one reads for itself; the second one leads.
        let leading = [0, 1].map(|_| {
            let (a, one) = (a.clone(), one.clone());
            tokio::spawn(async move { load(&a, &one, "of one").await })
        });
        tokio::task::yield_now().await;
        let many = tokio::spawn({
            let (a, keys) = (a.clone(), [one.clone(), two]);
            async move {
                let load = |keys: Vec<String>| async move {
                    Ok::<HashMap<_, _>, std::fmt::Error>(
                        keys.into_iter().map(|key| (key, "many".to_owned())).collect(),
                    )
                };
                a.get_many_or_load(&keys, load).await
            }
        });
        sleep(Duration::from_millis(round)).await;
        leading.iter().for_each(tokio::task::JoinHandle::abort);
        let found = many.await.unwrap().unwrap();
        assert_eq!((found.len(), found[&one].as_str()), (2, "of one"));
    }
}

/// A question after many has failed as soon as its own load has: what others are loading for it is not waited for.
#[tokio::test(start_paused = true)]
async fn many_that_failed_do_not_wait_for_what_they_follow() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let held = crate::support::Held::begin(a, "two").await;
    let fails = |_| async { Err::<HashMap<String, String>, _>(std::fmt::Error) };
    let keys = [key("one"), key("two")];
    let asked = a.get_many_or_load(&keys, fails);
    let error = timeout(Duration::from_secs(1), asked).await.expect("at once").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Load);
    assert_eq!(held.end(Ok("held")).await.unwrap(), "held");
}

/// Of two loads of one key, since it was ended in between, the first ends last: who asks then follows the second.
#[tokio::test(start_paused = true)]
async fn a_load_that_is_not_the_newest_takes_no_other_with_it() {
    // In memory alone: no lease makes up for it.
    let a = &crate::support::texts(&Store::memory(in_tokio_time()), &policy(LONG));
    let first = crate::support::Held::begin(a, "one").await;
    a.invalidate(&key("one")).await;
    let second = crate::support::Held::begin(a, "one").await;
    assert_eq!(first.end(Ok("first")).await.unwrap(), "first");
    let third = tokio::spawn({
        let a = a.clone();
        async move { load(&a, "one", "third").await }
    });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(second.end(Ok("second")).await.unwrap(), "second");
    assert_eq!((third.await.unwrap().as_str(), a.stats().loads), ("second", 2));
}

/// A key that is named twice is one question.
#[tokio::test(start_paused = true)]
async fn many_with_the_same_key_twice_ask_once() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let keys = [key("one"), key("two"), key("one")];
    for _ in 0..2 {
        let load = |keys: Vec<String>| async move {
            assert_eq!(keys.len(), 2);
            Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "many".to_owned())).collect())
        };
        assert_eq!(a.get_many_or_load(&keys, load).await.unwrap().len(), 2);
    }
    let stats = a.stats();
    assert_eq!((stats.misses, stats.hits_memory, stats.followers), (2, 2, 0));
}

/// Loads end with the runtime that they run on; the store outlives it.
#[test]
fn a_runtime_that_ends_takes_its_loads_along() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let first = runtime();
    let (store, cache) = first.block_on(async {
        let store = Store::memory(in_tokio_time());
        let cache = crate::support::texts(&store, &policy(LONG));
        let forever = tokio::spawn({
            let cache = cache.clone();
            async move {
                let never = || std::future::pending::<Result<String, std::fmt::Error>>();
                cache.get_or_load(&key("two"), never).await
            }
        });
        crate::until(|| store.stats().loading >= 1).await;
        drop(forever);
        (store, cache)
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(load(&cache, "two", "again").await, "again");
        assert_eq!(store.stats().loading, 0);
        timeout(LONG, store.run(std::future::ready(()))).await.expect("nothing is left to wait for");
    });
}

/// Two loads each of which wants the other's answer, begun by two callers.
#[tokio::test(start_paused = true)]
async fn loads_that_wait_for_each_other_end_in_time() {
    let nodes = Nodes::new(1, |_| {}).await;
    let mut config = CacheConfig::new("numbers");
    config.policy = policy(LONG);
    config.policy.hard_timeout = Duration::from_secs(2);
    let cache: Cache<u64, u64> = nodes.stores[0].cache(config).unwrap();
    let ask = |mine: u64, other: u64| {
        let cache = cache.clone();
        async move {
            let inside = cache.clone();
            let load = move || async move {
                // The other one has begun by now.
                sleep(Duration::from_millis(10)).await;
                let back = inside.clone();
                let nested = move || async move {
                    let again = || async { Ok::<_, Error>(0) };
                    back.get_or_load(&mine, again).await.map(|value| *value + 1)
                };
                inside.get_or_load(&other, nested).await.map(|value| *value + 1)
            };
            cache.get_or_load(&mine, load).await
        }
    };
    let begun = Instant::now();
    let (a, b) = tokio::join!(ask(1, 2), ask(2, 1));
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    // The other one gets that error from inside its load, or takes too long itself.
    let kinds = [a, b].map(|answer| answer.unwrap_err().kind());
    assert!(kinds.contains(&ErrorKind::TimedOut), "{kinds:?}");
    assert_eq!(nodes.stores[0].stats().loading, 0);
    // One alone comes back to its own key, which is loaded without the cache.
    assert_eq!(*ask(1, 2).await.unwrap(), 2);
    assert_eq!(cache.get(&2).await.as_deref(), Some(&1));
}
