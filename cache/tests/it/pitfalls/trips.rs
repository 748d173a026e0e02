//! What is asked of the shared tier, and how often.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tramline_cache::Tag;

use crate::support::{Held, Nodes, Texts, find, key, load, policy};

const LONG: Duration = Duration::from_secs(60);

/// How many trips one node makes meanwhile.
async fn trips<T>(nodes: &Nodes, node: usize, what: impl Future<Output = T>) -> (T, u64) {
    let before = nodes.twin.asked(node);
    let answer = what.await;
    (answer, nodes.twin.asked(node) - before)
}

/// Many wait for another process: one of them asks again now and then, whether it is told of the answer or not.
#[tokio::test(start_paused = true)]
async fn who_waits_for_another_process_does_not_storm() {
    for deaf in [false, true] {
        let nodes = Nodes::new(2, |config| {
            config.lease_ttl = Duration::from_millis(300);
            config.lease_wait = Duration::from_secs(20);
        })
        .await;
        let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
        let held = Held::begin(a, "one").await;
        if deaf {
            nodes.twin.deafen(1);
        }
        let waiting = join_all((0..250).map(|_| load(b, "one", "of another")));
        let ending = async {
            sleep(Duration::from_secs(2)).await;
            held.end(Ok("a")).await.unwrap()
        };
        let ((answers, _), asked) = trips(&nodes, 1, async { tokio::join!(waiting, ending) }).await;
        assert!(answers.iter().all(|answer| answer == "a"));
        // Each between 50 and 100 ms after the one before it, but the first ones.
        assert!((20..=60).contains(&asked), "{asked}, deaf: {deaf}");
        assert_eq!((b.stats().lease_waits, b.stats().loads), (1, 0));
    }
}

/// One question; where there is nothing, another one with the lease, and an answer. The first one asks for the cache's mark,
/// too.
#[tokio::test(start_paused = true)]
async fn a_question_is_a_trip_and_a_load_is_three() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    assert_eq!(trips(&nodes, 0, load(a, "one", "a")).await.1, 4, "with the mark");
    assert_eq!(trips(&nodes, 0, load(a, "two", "a")).await.1, 3);
    assert_eq!(trips(&nodes, 0, find(a, "nothing", None)).await.1, 3, "the lease is given back");
    assert_eq!(trips(&nodes, 0, load(a, "two", "a")).await.1, 0);
    assert_eq!(trips(&nodes, 1, load(b, "one", "b")).await.1, 2, "with the mark");
    assert_eq!(trips(&nodes, 1, load(b, "two", "b")).await, ("a".to_owned(), 1));
    assert_eq!(trips(&nodes, 1, b.get(&key("neither"))).await.1, 1);
    assert_eq!(trips(&nodes, 1, b.set(&key("two"), "b".to_owned())).await.1, 1);
    assert_eq!(trips(&nodes, 1, b.invalidate(&key("two"))).await.1, 1);
    assert_eq!(trips(&nodes, 1, b.invalidate_all()).await.1, 1);
    assert_eq!(trips(&nodes, 1, b.invalidate_many(&[key("one"), key("two")])).await.1, 1);
    let tags = [Tag::of("one"), Tag::of("two")];
    assert_eq!(trips(&nodes, 1, nodes.stores[1].invalidate_tags(&tags)).await.1, 1);

    let keys: Vec<_> = (0..100).map(key).collect();
    let cold = |cache: &Texts| {
        let (cache, keys) = (cache.clone(), keys.clone());
        let each = |key: String| (key, "x".to_owned());
        let load = move |keys: Vec<String>| async move {
            Ok::<_, std::fmt::Error>(keys.into_iter().map(each).collect::<HashMap<_, _>>())
        };
        async move { cache.get_many_or_load(&keys, load).await.unwrap().len() }
    };
    load(a, "warm", "a").await;
    load(b, "warm", "b").await;
    assert_eq!(trips(&nodes, 0, cold(a)).await, (100, 2), "read, written");
    assert_eq!(trips(&nodes, 1, cold(b)).await, (100, 1), "read");
    assert_eq!(trips(&nodes, 1, cold(b)).await, (100, 0));
    assert_eq!((a.stats().loads, b.stats().loads), (5, 0));
}

/// Inside a load nobody looks before asking with a lease: what the tier has is one trip all the same, and leaves nothing to
/// be given back.
#[tokio::test(start_paused = true)]
async fn what_a_load_asks_for_is_one_trip_when_the_tier_has_it() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    load(a, "inner", "a").await;
    load(b, "warm", "b").await;
    let outer = async {
        let cache = b.clone();
        let nested = move || async move { Ok::<_, std::fmt::Error>(load(&cache, "inner", "b").await) };
        let answer = b.get_or_load(&key("outer"), nested).await.unwrap();
        // A lease that is dropped is given back behind the caller.
        sleep(Duration::from_millis(1)).await;
        (*answer).clone()
    };
    assert_eq!(trips(&nodes, 1, outer).await, ("a".to_owned(), 4), "read, leased, the inner one, written");
}

/// Sixteen tags are no more trips than one, and none once they are known.
#[tokio::test(start_paused = true)]
async fn tags_are_one_trip_together_and_then_none() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut tagged = policy(LONG);
    tagged.tags = (0..16).map(|n| Tag::of(&n.to_string())).collect();
    let [a, b] = &nodes.texts(&tagged)[..] else { unreachable!() };
    assert_eq!(trips(&nodes, 0, load(a, "one", "a")).await.1, 4, "read, leased, marks, written");
    assert_eq!(trips(&nodes, 0, load(a, "two", "a")).await.1, 3);
    assert_eq!(trips(&nodes, 1, load(b, "one", "b")).await, ("a".to_owned(), 2), "read, marks");
    assert_eq!(trips(&nodes, 1, load(b, "two", "b")).await, ("a".to_owned(), 1));
    assert_eq!(trips(&nodes, 1, load(b, "two", "b")).await.1, 0);
    assert_eq!(trips(&nodes, 0, nodes.stores[0].invalidate_tag(&Tag::of("7"))).await.1, 1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(trips(&nodes, 1, load(b, "two", "b")).await.0, "b", "what is heard is known");
    assert_eq!(trips(&nodes, 0, load(a, "two", "a")).await.0, "b");
}
