//! A Redis that is stopped, hangs, is killed and comes back, or is cut off.

use devkit::{Fault, Redis};
use tokio::time::Instant;

use super::*;

async fn server() -> Option<Redis> {
    devkit::engines::redis().await?;
    Some(Redis::start().await.unwrap())
}

/// Not there at the start: everything answers, and once it is there it is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_was_never_there_is_no_error() {
    // A port that nobody listens on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    drop(listener);
    let cache = Cache::redis(&url, config()).unwrap();
    let feed = tokio::spawn({
        let cache = cache.clone();
        async move { cache.run(std::future::pending()).await }
    });
    assert_eq!(load(&cache, "one", "loaded").await, "loaded");
    assert_eq!(load(&cache, "one", "other").await, "loaded", "memory works");
    cache.set(&key("two"), &"set".to_owned(), &policy()).await;
    assert_eq!(load(&cache, "two", "other").await, "set");
    cache.invalidate(&key("one")).await;
    assert_eq!(load(&cache, "one", "new").await, "new");
    assert!(!cache.stats().attached);
    feed.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_costs_loads_and_no_errors_and_is_used_again() {
    let Some(server) = server().await else { return };
    let names = config();
    let (a, b) = (Node::new(&server.url(), names.clone()).await, Node::new(&server.url(), names).await);
    assert_eq!(load(&a.cache, "one", "old").await, "old");
    assert_eq!(load(&b.cache, "one", "other").await, "old");

    server.stop().await;
    until(|| !a.cache.stats().attached && !b.cache.stats().attached).await;
    let started = Instant::now();
    for n in 0..200 {
        assert_eq!(load(&a.cache, &format!("down-{n}"), "loaded").await, "loaded");
    }
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "known to be away, it is not asked: {:?}",
        started.elapsed()
    );
    a.cache.invalidate(&key("one")).await;
    assert_eq!(load(&a.cache, "one", "new").await, "new");

    server.restart().await.unwrap();
    until(|| a.cache.stats().attached && b.cache.stats().attached).await;
    until_shared(&a.cache, &b.cache).await;
}

/// What was invalidated while Redis hung is not read from it afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_redis_is_told_what_it_missed_before_it_is_read() {
    let Some(server) = server().await else { return };
    let names = config();
    let (a, b) = (Node::new(&server.url(), names.clone()).await, Node::new(&server.url(), names).await);
    let tagged = policy().with_tags([tag("x")]).unwrap();
    let ask = async |node: &Node, name: &str, value: &'static str| {
        node.cache
            .get_or_load(&key(name), &tagged, move || async move { Ok::<_, ()>(value.to_owned()) })
            .await
            .unwrap()
    };
    for name in ["by-key", "by-tag"] {
        assert_eq!(ask(&a, name, "old").await, "old");
        assert_eq!(ask(&b, name, "other").await, "old");
    }
    server.pause();
    let started = Instant::now();
    a.cache.invalidate(&key("by-key")).await;
    a.cache.invalidate_tag(&tag("x")).await;
    assert_eq!(ask(&a, "by-key", "new").await, "new");
    assert_eq!(ask(&a, "by-tag", "new").await, "new");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    until(|| !b.cache.stats().attached).await;
    server.resume();
    until(|| a.cache.stats().attached && b.cache.stats().attached).await;
    for name in ["by-key", "by-tag"] {
        let heard = async {
            while ask(&b, name, "new").await != "new" {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), heard).await.expect("the other node hears of it");
        assert_eq!(ask(&a, name, "newer").await, "new");
    }
    until_shared(&a.cache, &b.cache).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_leaves_memory_as_fast_as_before() {
    let Some(server) = server().await else { return };
    let node = Node::new(&server.url(), config()).await;
    load(&node.cache, "one", "kept").await;
    server.kill().await;
    until(|| !node.cache.stats().attached).await;
    for _ in 0..1_000 {
        assert_eq!(load(&node.cache, "one", "other").await, "kept");
    }
    assert_eq!(node.cache.stats().loads, 1);
    server.restart().await.unwrap();
    until(|| node.cache.stats().attached).await;
    // Something may have been missed, so memory was forgotten; the new Redis has nothing either.
    assert_eq!(load(&node.cache, "one", "new").await, "new");
    assert!(node.cache.stats().flushes >= 2);
}

/// Only one node is cut off: what the others change reaches it at the age limit, or when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_does_not_trust_its_memory_for_long() {
    let Some(server) = server().await else { return };
    let fault = Fault::new(server.addr()).await.unwrap();
    let mut names = config();
    names.detached_age = Duration::from_millis(300);
    let near = Node::new(&server.url(), names.clone()).await;
    let far = Node::new(&fault.url(&server.url()), names).await;
    assert_eq!(load(&near.cache, "one", "old").await, "old");
    assert_eq!(load(&far.cache, "one", "other").await, "old");
    // Silent, with no word to either side: only the pings find out.
    fault.half_open();
    near.cache.invalidate(&key("one")).await;
    until_loaded(&far.cache, "one", "new").await;
    assert!(!far.cache.stats().attached);
    assert_eq!(load(&near.cache, "one", "newer").await, "newer");
    fault.heal();
    until(|| far.cache.stats().attached).await;
    until_loaded(&far.cache, "one", "newer").await;
    until_shared(&near.cache, &far.cache).await;
}

/// Both nodes read and write Redis again.
async fn until_shared(a: &Cache, b: &Cache) {
    for n in 0.. {
        let name = format!("shared-{n}");
        let shared = async {
            load(a, &name, "from a").await;
            load(b, &name, "from b").await == "from a"
        };
        if timeout(Duration::from_secs(15), shared).await.expect("answers in time") {
            return;
        }
        assert!(n < 3_000, "never shared again");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
