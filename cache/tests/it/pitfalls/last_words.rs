//! The last words of stores, and what is told when the tier is back.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use tokio::time::{sleep, timeout};
use tramline_cache::{Policy, Store, Tag};

use crate::support::{Held, Nodes, in_tokio_time, key, load, policy, text, texts, until_async};
use crate::warnings::Warnings;

const LONG: Duration = Duration::from_secs(60);

/// The last word of a service that ends: loads that run are waited for, and what they brought is kept.
#[tokio::test(start_paused = true)]
async fn a_store_that_ends_waits_for_its_loads() {
    let store = Store::memory(in_tokio_time());
    let cache = texts(&store, &policy(LONG));
    let asked = tokio::spawn({
        let cache = cache.clone();
        async move {
            let slow = || async {
                sleep(Duration::from_secs(5)).await;
                Ok::<_, std::fmt::Error>("first".to_owned())
            };
            let _ = cache.get_or_load(&key("one"), slow).await;
        }
    });
    crate::until(|| store.stats().loading == 1).await;
    asked.abort();
    store.run(std::future::ready(())).await;
    assert_eq!(text(cache.peek(&key("one"))), Some("first"));
}

/// Where callers go on asking there is always a load that runs.
#[tokio::test(start_paused = true)]
async fn a_store_that_ends_does_not_wait_for_who_comes_after() {
    let nodes = Nodes::new(1, |_| {}).await;
    for store in [&Store::memory(in_tokio_time()), &nodes.stores[0]] {
        let cache = texts(store, &policy(LONG));
        let before = Held::begin(&cache, "before").await;
        let mut run = pin!(store.run(std::future::ready(())));
        assert!(poll!(&mut run).is_pending(), "a load runs");
        // One begins before the one before it ends.
        let after = Held::begin(&cache, "after").await;
        assert!(poll!(&mut run).is_pending());
        assert_eq!(before.end(Ok("first")).await.unwrap(), "first");
        timeout(LONG * 10, run).await.expect("the load that ran has ended");
        assert_eq!(after.end(Ok("later")).await.unwrap(), "later");
        assert_eq!(load(&cache, "after", "again").await, "later", "and it is kept");

        // What came after one end is waited for by the next one.
        let late = Held::begin(&cache, "late").await;
        let mut again = pin!(store.run(std::future::ready(())));
        assert!(poll!(&mut again).is_pending());
        late.end(Ok("last")).await.unwrap();
        timeout(LONG * 10, again).await.expect("nothing is left to wait for");
    }
}

/// A write whose caller is gone is a last word too.
#[tokio::test(start_paused = true)]
async fn a_store_that_ends_waits_for_its_writes() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    load(a, "one", "old").await;
    assert_eq!(load(b, "one", "never").await, "old");
    nodes.twin.slow(0, Duration::from_secs(1));
    let asked = nodes.twin.asked(0);
    timeout(Duration::ZERO, a.invalidate(&key("one"))).await.unwrap_err();
    nodes.stores[0].run(std::future::ready(())).await;
    assert_eq!(nodes.twin.asked(0), asked + 1, "it has arrived");
    until_async(async || b.peek(&key("one")).is_none()).await;
}

/// How much is lost with the process is said, and not what.
#[tokio::test(start_paused = true)]
async fn a_store_that_ends_says_what_others_do_not_hear() {
    let nodes = Nodes::new(1, |_| {}).await;
    let (store, cache) = (&nodes.stores[0], &nodes.texts(&policy(LONG))[0]);
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let said = async |ended: usize| {
        for n in 0..ended {
            cache.invalidate(&key(format!("ada {n}"))).await;
        }
        store.run(std::future::ready(())).await;
        warnings.take()
    };
    assert_eq!(said(3).await, [""; 0], "they are told");
    nodes.twin.cut(0);
    assert_eq!(said(0).await, [""; 0], "there is nothing to tell");
    store.invalidate_tag(&Tag::new("user", &"ada")).await;
    let what = "what was ended is not told: other processes answer it until its life is over";
    assert_eq!(said(2).await, [format!("{what} endings=3 doubtful=0 everything=false")]);
    // Whoever drops it hears it too.
    drop(timeout(Duration::ZERO, store.run(std::future::pending())).await);
    assert_eq!(warnings.take().len(), 1);
    assert_eq!(said(2_000).await, [format!("{what} endings=1 doubtful=0 everything=true")]);
    nodes.twin.heal(0);
    assert_eq!(said(1).await, [""; 0]);
}

/// Each of them is remembered while the tier is away, and told before anything is read from it.
#[tokio::test(start_paused = true)]
async fn many_that_a_node_without_the_tier_ends_are_ended_for_all() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut tagged = policy(Duration::from_secs(600));
    let tags = [Tag::of("x"), Tag::of("y")];
    let caches = nodes.texts(&tagged);
    let names = ["one", "two", "three"];
    tagged.tags = tags[..1].to_vec();
    let with = |policy: &Policy| {
        caches.iter().map(|cache| cache.with_policy(policy.clone()).unwrap()).collect::<Vec<_>>()
    };
    let with_x = with(&tagged);
    tagged.tags = tags[1..].to_vec();
    let with_y = with(&tagged);
    for node in [0, 1] {
        for name in names {
            assert_eq!(load(&caches[node], name, "old").await, "old");
        }
        assert_eq!(load(&with_x[node], "of x", "old").await, "old");
        assert_eq!(load(&with_y[node], "of y", "old").await, "old");
    }
    nodes.twin.cut(0);
    caches[0].invalidate_many(&names.map(key)).await;
    nodes.stores[0].invalidate_tags(&tags).await;
    nodes.twin.heal(0);
    crate::until(|| nodes.stores[0].stats().attached).await;
    sleep(Duration::from_millis(10)).await;
    for node in [1, 0] {
        for name in names {
            assert_eq!(load(&caches[node], name, "new").await, "new", "{name}");
        }
        assert_eq!(load(&with_x[node], "of x", "new").await, "new");
        assert_eq!(load(&with_y[node], "of y", "new").await, "new");
    }
}
