//! Who comes too late on a real Redis: answers, writes and loads that were overtaken on a slow line or across a cut.

use devkit::{Fault, Redis};
use rand::RngExt;
use tramline_cache::{Cache, CacheConfig, RedisConfig};

use super::redis::{named, node, raw};
use super::*;
use crate::support::{Held, Texts, key, load, policy, text, texts, until_async};

const LONG: Duration = Duration::from_secs(600);

/// Two nodes on a server of their own, the first behind a proxy.
struct Pair {
    server: Redis,
    fault: Fault,
    stores: [Store; 2],
    a: Texts,
    b: Texts,
    _running: [AbortOnDropHandle<()>; 2],
}

// === impl Pair ===

impl Pair {
    async fn new(response_timeout: Duration) -> Option<Self> {
        devkit::engines::redis().await?;
        let server = Redis::start().await.unwrap();
        let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
        let near = named(RedisConfig::new(server.url()));
        let mut far = RedisConfig::new(url);
        far.prefix.clone_from(&near.prefix);
        far.max_backoff = near.max_backoff;
        far.response_timeout = response_timeout;
        let ((a, run_a), (b, run_b)) = (node(far).await, node(near).await);
        let mut config = CacheConfig::new("texts");
        config.policy = policy(LONG);
        config.compress_from = None;
        let [cache_a, cache_b] = [&a, &b].map(|store| store.cache(config.clone()).unwrap());
        // From here on both know the marks.
        load(&cache_a, "first", "").await;
        load(&cache_b, "first", "").await;
        Some(Self { server, fault, stores: [a, b], a: cache_a, b: cache_b, _running: [run_a, run_b] })
    }

    async fn raw(&self) -> ::redis::aio::MultiplexedConnection {
        raw(&self.server.url()).await
    }

    /// How often Redis was asked for a value.
    async fn gets(&self) -> u64 {
        let stats: String =
            ::redis::cmd("INFO").arg("commandstats").query_async(&mut self.raw().await).await.unwrap();
        let (_, gets) = stats.split_once("cmdstat_get:calls=").unwrap_or(("", "0,"));
        gets.split(',').next().unwrap().parse().unwrap()
    }

    /// Lets `a` ask for a value so large that its answer, and all behind it, is on its way for a while. What others end
    /// comes by another connection.
    async fn slow_answer(&self, name: &'static str) -> tokio::task::JoinHandle<Option<&'static str>> {
        let large: String = {
            let mut random = rand::rng();
            (0..900_000).map(|_| random.sample(rand::distr::Alphanumeric) as char).collect()
        };
        let heard = self.a.stats().invalidations;
        self.b.set(&key(name), large).await;
        until(|| self.a.stats().invalidations > heard).await;
        let gets = self.gets().await;
        // For nine seconds, unless it is healed.
        self.fault.throttle(100_000);
        let a = self.a.clone();
        let reading = tokio::spawn(async move { text(a.get(&key(name)).await) });
        until_async(async || self.gets().await > gets).await;
        reading
    }
}

/// The answer is on its way while the value is ended: memory must not take it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_ended_on_its_way_does_not_stay() {
    let Some(pair) = Pair::new(Duration::from_secs(20)).await else { return };
    let reading = pair.slow_answer("one").await;
    let heard = pair.a.stats().invalidations;
    pair.b.invalidate(&key("one")).await;
    until(|| pair.a.stats().invalidations > heard).await;
    assert!(!reading.is_finished(), "it is on its way still");
    pair.fault.heal();
    reading.await.unwrap();
    assert_eq!(pair.a.peek(&key("one")), None);
    assert_eq!(load(&pair.a, "one", "new").await, "new");
}

/// What another node writes between a write's arrival in Redis and the answer to it is the newer of the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_overtaken_on_its_way_back_does_not_stay() {
    let Some(pair) = Pair::new(Duration::from_secs(20)).await else { return };
    // The answer to the write comes behind this one.
    let reading = pair.slow_answer("large").await;
    let writing = tokio::spawn({
        let a = pair.a.clone();
        async move { a.set(&key("one"), "of a".to_owned()).await }
    });
    until_async(async || text(pair.b.get(&key("one")).await) == Some("of a")).await;
    let heard = pair.a.stats().invalidations;
    pair.b.set(&key("one"), "of b".to_owned()).await;
    until(|| pair.a.stats().invalidations > heard).await;
    assert!(!writing.is_finished(), "its answer is on its way still");
    pair.fault.heal();
    writing.await.unwrap();
    reading.await.unwrap();
    assert_eq!(text(pair.a.get(&key("one")).await), Some("of b"));
    assert_eq!(text(pair.b.get(&key("one")).await), Some("of b"));
}

/// A node that was cut off with a lease, which another node has by now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ended_behind_a_cut_writes_nothing() {
    let Some(pair) = Pair::new(Duration::from_secs(1)).await else { return };
    let lost = Held::begin(&pair.a, "one").await;
    pair.fault.cut();
    until(|| !pair.stores[0].stats().attached).await;
    // As if it had not been renewed for long.
    let mut raw = pair.raw().await;
    let leases: Vec<String> = ::redis::cmd("KEYS").arg("test:*:v:*one*").query_async(&mut raw).await.unwrap();
    assert_eq!(leases.len(), 1, "{leases:?}");
    let _: i64 = ::redis::cmd("DEL").arg(&leases[0]).query_async(&mut raw).await.unwrap();
    let held = Held::begin(&pair.b, "one").await;
    assert_eq!(pair.b.stats().lease_waits, 0, "it has the lease");
    pair.fault.heal();
    until(|| pair.stores[0].stats().attached).await;
    until_async(async || pair.a.get(&key("first")).await.is_some()).await;
    let _ = lost.end(Ok("of a")).await;
    let mut slot: Vec<u8> = ::redis::cmd("GET").arg(&leases[0]).query_async(&mut raw).await.unwrap();
    assert!(slot.len() == 17 && b"LW".contains(&slot[0]), "b's lease lies there");
    assert_eq!(held.end(Ok("of b")).await.unwrap(), "of b");
    slot = ::redis::cmd("GET").arg(&leases[0]).query_async(&mut raw).await.unwrap();
    assert!(slot.len() > 17);
    until_async(async || text(pair.a.get(&key("one")).await) == Some("of b")).await;
}

/// By another client, while it lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_one_is_noticed_and_filled_by_no_load_from_before() {
    let Some(pair) = Pair::new(Duration::from_secs(2)).await else { return };
    let (a, b) = (&pair.a, &pair.b);
    load(a, "one", "old").await;
    assert_eq!(load(b, "one", "new").await, "old");
    assert_eq!(load(b, "quiet", "old").await, "old");
    let late = Held::begin(a, "late").await;
    let flushes = pair.stores.each_ref().map(|store| store.stats().flushes);
    let _: () = ::redis::cmd("FLUSHALL").query_async(&mut pair.raw().await).await.unwrap();
    a.invalidate(&key("one")).await;
    b.invalidate(&key("late")).await;
    assert_eq!(late.end(Ok("old")).await.unwrap(), "old", "who asked before may get it");
    for (store, before) in pair.stores.iter().zip(flushes) {
        until(|| store.stats().flushes > before && store.stats().attached).await;
    }
    assert_eq!(load(a, "one", "new").await, "new");
    assert_eq!(load(b, "one", "newer").await, "new");
    for node in [a, b] {
        assert_eq!(text(node.get(&key("late")).await), None);
        assert_eq!(node.peek(&key("quiet")), None, "memory is as new as Redis");
    }
}

/// Values that cannot be read are no failure of Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_shuts_nothing() {
    let Some(url) = devkit::engines::redis().await else { return };
    let names = named(RedisConfig::new(url));
    let (a, _run_a) = node(names.clone()).await;
    let (b, _run_b) = node(names.clone()).await;
    let texts = texts(&a, &policy(LONG));
    let mut config = CacheConfig::new("texts");
    config.policy = policy(LONG);
    let numbers: Cache<String, u64> = b.cache(config.clone()).unwrap();
    for n in 0..200 {
        load(&texts, &key(n), "text").await;
    }
    for n in 0..200_u64 {
        let number = move || async move { Ok::<_, std::fmt::Error>(n) };
        assert_eq!(*numbers.get_or_load(&key(n), number).await.unwrap(), n);
    }
    assert_eq!(numbers.stats().unusable, 200);
    let stats = b.stats();
    assert!(stats.tier_errors == 0 && stats.attached, "{stats:?}");
    // What it loads is shared as ever.
    let number = |n: u64| move || async move { Ok::<_, std::fmt::Error>(n) };
    numbers.get_or_load(&key("next"), number(1)).await.unwrap();
    let (c, _run_c) = node(names).await;
    let others: Cache<String, u64> = c.cache(config).unwrap();
    assert_eq!(*others.get_or_load(&key("next"), number(2)).await.unwrap(), 1);
}
