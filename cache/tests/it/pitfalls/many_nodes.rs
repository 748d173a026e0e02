//! One load for all nodes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tramline_cache::{Error, Store, StoreConfig, Tag};

use crate::support::{Count, Held, Nodes, Texts, key, load, policy, text};

async fn stampede(caches: &[Texts], each: usize, takes: Duration) -> usize {
    let loads = Count::default();
    let ask = |n: usize| {
        let (cache, loads) = (caches[n % caches.len()].clone(), loads.clone());
        tokio::spawn(async move {
            let load = move || async move {
                let many = loads.add();
                sleep(takes).await;
                Ok::<_, std::fmt::Error>(many.to_string())
            };
            cache.get_or_load(&key("one"), load).await.map(|value| (*value).clone())
        })
    };
    for answer in join_all((0..each * caches.len()).map(ask)).await {
        assert_eq!(answer.unwrap().unwrap(), "1");
    }
    loads.get()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_ask_on_four_nodes_are_one_load() {
    let nodes = Nodes::new(4, |_| {}).await;
    let caches = nodes.texts(&policy(Duration::from_secs(60)));
    assert_eq!(stampede(&caches, 250, Duration::from_millis(200)).await, 1);
    let loads: u64 = caches.iter().map(|cache| cache.stats().loads).sum();
    assert_eq!(loads, 1);
}

/// Who asks between the end of one load and the end of the question after it has the answer, on however many threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_ask_at_once_on_many_threads_are_one_load() {
    let cache =
        crate::support::texts(&Store::memory(StoreConfig::default()), &policy(Duration::from_secs(60)));
    for round in 0..2_000 {
        let ask = |_| {
            let (cache, name) = (cache.clone(), key(round));
            tokio::spawn(async move { load(&cache, &name, "x").await })
        };
        join_all((0..8).map(ask)).await;
    }
    assert_eq!(cache.stats().loads, 2_000);
}

/// Who waits is told, and does not find out by asking now and then.
#[tokio::test(start_paused = true)]
async fn who_waits_for_another_node_has_its_answer_at_once() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    for round in 0..10 {
        let name = key(round);
        let held = Held::begin(a, &name).await;
        let waiting = tokio::spawn({
            let (b, name) = (b.clone(), name.clone());
            async move { load(&b, &name, "b").await }
        });
        sleep(Duration::from_millis(1_000 + 7 * round)).await;
        let ended = Instant::now();
        assert_eq!(held.end(Ok("a")).await.unwrap(), "a");
        assert_eq!(waiting.await.unwrap(), "a");
        assert!(ended.elapsed() <= Duration::from_millis(1), "{:?}", ended.elapsed());
    }
}

/// The same for many keys at once, whoever asks for one of them.
#[tokio::test(start_paused = true)]
async fn many_that_take_longer_than_a_lease_lives_are_loaded_once() {
    let nodes = Nodes::new(2, |config| {
        config.lease_ttl = Duration::from_millis(300);
        config.lease_wait = Duration::from_secs(20);
    })
    .await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    let keys = [key("one"), key("two")];
    let many = |keys: Vec<String>| async {
        sleep(Duration::from_secs(5)).await;
        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "a".to_owned())).collect())
    };
    let waiting = async {
        sleep(Duration::from_secs(1)).await;
        load(b, "two", "b").await
    };
    let (found, other) = tokio::join!(a.get_many_or_load(&keys, many), waiting);
    assert_eq!((found.unwrap().len(), other.as_str()), (2, "a"));
    assert_eq!((a.stats().refused, b.stats().loads), (0, 0));
}

/// The same with leases that lie over what is old.
#[tokio::test(start_paused = true)]
async fn the_leases_of_many_over_what_is_old_are_renewed() {
    let nodes = Nodes::new(2, |config| {
        config.lease_ttl = Duration::from_millis(300);
        config.lease_wait = Duration::from_secs(20);
    })
    .await;
    let mut stale = policy(Duration::from_secs(60));
    stale.stale_for = Some(Duration::from_secs(600));
    let [a, b] = &nodes.texts(&stale)[..] else { unreachable!() };
    let keys = ["one", "two", "three"].map(key);
    for key in &keys {
        load(a, key, "old").await;
    }
    sleep(Duration::from_secs(61)).await;
    let many = |keys: Vec<String>| async {
        sleep(Duration::from_secs(5)).await;
        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "a".to_owned())).collect())
    };
    let waiting = async {
        sleep(Duration::from_secs(1)).await;
        load(b, "two", "b").await
    };
    let (found, other) = tokio::join!(a.get_many_or_load(&keys, many), waiting);
    assert_eq!((found.unwrap().len(), other.as_str()), (3, "a"));
    assert_eq!((a.stats().refused, b.stats().loads), (0, 0));
}

/// The lease is renewed for as long as the load runs.
#[tokio::test(start_paused = true)]
async fn a_load_that_takes_longer_than_a_lease_lives_is_still_the_only_one() {
    let nodes = Nodes::new(4, |config| {
        config.lease_ttl = Duration::from_millis(300);
        config.lease_wait = Duration::from_secs(20);
    })
    .await;
    let caches = nodes.texts(&policy(Duration::from_secs(60)));
    assert_eq!(stampede(&caches, 25, Duration::from_secs(5)).await, 1);
}

/// Whoever waits is not told, and asks again now and then.
#[tokio::test(start_paused = true)]
async fn a_node_that_hears_nothing_still_waits_for_the_load_of_another() {
    let nodes = Nodes::new(2, |_| {}).await;
    let caches = nodes.texts(&policy(Duration::from_secs(60)));
    nodes.twin.deafen(1);
    assert_eq!(stampede(&caches, 10, Duration::from_millis(700)).await, 1);
}

/// A process that died with a lease is waited for as long as that lives, and not longer.
#[tokio::test(start_paused = true)]
async fn the_lease_of_a_dead_node_ends_by_itself() {
    let nodes = Nodes::new(3, |config| {
        config.lease_ttl = Duration::from_secs(3);
        config.lease_wait = Duration::from_secs(60);
    })
    .await;
    let caches = nodes.texts(&policy(Duration::from_secs(60)));
    let dead = Held::begin(&caches[0], "one").await;
    nodes.twin.cut(0);
    let begun = Instant::now();
    assert_eq!(stampede(&caches[1..], 50, Duration::from_millis(50)).await, 1);
    let took = begun.elapsed();
    assert!((3_000..3_400).contains(&took.as_millis()), "{took:?}");
    // It was not dead after all, and what it brings is late.
    nodes.twin.heal(0);
    assert_eq!(dead.end(Ok("of the dead")).await.unwrap(), "of the dead");
    for cache in &caches {
        assert_eq!(load(cache, "one", "anew").await, "1");
    }
}

/// Nobody waits for ever for one who holds a lease and renews it.
#[tokio::test(start_paused = true)]
async fn another_nodes_load_is_waited_for_only_so_long() {
    let nodes = Nodes::new(2, |config| config.lease_wait = Duration::from_millis(500)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    let held = Held::begin(a, "one").await;
    let begun = Instant::now();
    assert_eq!(load(b, "one", "b").await, "b");
    assert!((500..620).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!((b.stats().lease_waits, b.stats().loads), (1, 1));
    // The lease was not b's, so it has the value for itself.
    assert_eq!(held.end(Ok("a")).await.unwrap(), "a");
    assert_eq!(load(b, "one", "other").await, "b");
    assert_eq!(load(a, "one", "other").await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_does_not_load_neither_waits_nor_takes_a_lease() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    let begun = Instant::now();
    assert_eq!(b.get(&key("one")).await, None);
    let held = Held::begin(a, "one").await;
    for node in [a, b] {
        assert_eq!(node.get(&key("one")).await, None);
        assert_eq!(node.peek(&key("one")), None);
    }
    assert!(begun.elapsed() < Duration::from_millis(10), "{:?}", begun.elapsed());
    assert_eq!(held.end(Ok("a")).await.unwrap(), "a");
    assert_eq!(b.get(&key("one")).await.unwrap().as_str(), "a");
    assert_eq!(text(b.peek(&key("one"))), Some("a"), "what it finds is in memory from then on");
}

/// A mark that a full tier removed is made anew without a word. Whoever knows the old one asks again as soon as it meets a
/// value of the new one: else each would take what the other wrote for dead, and write over it.
#[tokio::test(start_paused = true)]
async fn a_mark_that_was_evicted_does_not_part_the_nodes() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut tagged = policy(Duration::from_secs(60));
    tagged.tags = vec![Tag::of("some")];
    for (n, policy) in [policy(Duration::from_secs(60)), tagged].into_iter().enumerate() {
        let [a, b] = &nodes.texts(&policy)[..] else { unreachable!() };
        assert_eq!(load(a, "known", "a").await, "a");
        nodes.twin.evict_marks();
        // Something else ends, so that the next mark is another.
        nodes.stores[0].invalidate_tag(&Tag::of(&format!("other {n}"))).await;
        assert_eq!(load(b, "one", "b").await, "b");
        assert_eq!(load(a, "one", "over b's").await, "b");
        assert_eq!(load(a, "two", "a").await, "a");
        assert_eq!(load(b, "two", "over a's").await, "a");
        assert_eq!(load(b, "known", "b").await, "b", "nobody knows what was ended meanwhile");
        a.invalidate_all().await;
    }
}

/// The answer of one question after many.
type Many = Result<HashMap<String, Arc<String>>, Error>;

/// Asks for many, and notes which keys its load was called for.
fn ask_many(
    cache: &Texts,
    keys: std::ops::Range<u32>,
    go: &watch::Receiver<bool>,
) -> (impl Future<Output = Many> + use<>, Arc<Mutex<Vec<String>>>) {
    let (cache, keys): (_, Vec<String>) = (cache.clone(), keys.map(key).collect());
    let (mut go, asked) = (go.clone(), Arc::<Mutex<Vec<String>>>::default());
    let noted = Arc::clone(&asked);
    let load = move |keys: Vec<String>| async move {
        noted.lock().unwrap().extend(keys.iter().cloned());
        go.wait_for(|go| *go).await.unwrap();
        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key.clone(), key)).collect::<HashMap<_, _>>())
    };
    (async move { cache.get_many_or_load(&keys, load).await }, asked)
}

/// What two questions of one process have in common is loaded by one of them, also when a caller goes away.
#[tokio::test(start_paused = true)]
async fn no_key_of_two_questions_is_loaded_twice() {
    let nodes = Nodes::new(1, |_| {}).await;
    let cache = &nodes.texts(&policy(Duration::from_secs(60)))[0];
    for gone in [None, Some(0), Some(1)] {
        cache.invalidate_all().await;
        let (begin, go) = watch::channel(false);
        let ((first, of_first), (second, of_second)) =
            (ask_many(cache, 0..60, &go), ask_many(cache, 40..100, &go));
        let mut asking = [first.boxed(), second.boxed()].map(Some);
        for asked in &mut asking {
            assert!(asked.as_mut().unwrap().now_or_never().is_none());
        }
        sleep(Duration::from_millis(1)).await;
        if let Some(gone) = gone {
            drop(asking[gone].take());
        }
        begin.send_replace(true);
        for (asked, keys) in asking.into_iter().zip([0..60, 40..100]) {
            let Some(asked) = asked else { continue };
            let answer = asked.await.unwrap();
            assert_eq!(answer.len(), keys.len());
            assert!(keys.into_iter().all(|n| *answer[&key(n)] == key(n)));
        }
        let (first, second) = (of_first.lock().unwrap(), of_second.lock().unwrap());
        assert_eq!((first.len(), second.len()), (60, 40), "{gone:?}");
    }
}

/// Two processes with each other's keys would wait for ever: each loads what the other is loading.
#[tokio::test(start_paused = true)]
async fn two_nodes_do_not_wait_for_each_others_many() {
    let nodes = Nodes::new(2, |config| config.lease_wait = Duration::from_secs(600)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    let (begin, go) = watch::channel(false);
    let ((first, of_first), (second, of_second)) = (ask_many(a, 0..2, &go), ask_many(b, 0..4, &go));
    let mut first = first.boxed();
    assert!((&mut first).now_or_never().is_none());
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    let (first, second, ()) = tokio::join!(first, second, async {
        sleep(Duration::from_millis(100)).await;
        assert_eq!((of_first.lock().unwrap().len(), of_second.lock().unwrap().len()), (2, 4));
        begin.send_replace(true);
    });
    assert_eq!((first.unwrap().len(), second.unwrap().len()), (2, 4));
    assert_eq!((begun.elapsed().as_millis(), b.stats().lease_waits), (100, 0));
    // What only one of them had the lease of is in the tier by its word.
    assert_eq!(load(a, "3", "anew").await, "3");
}
