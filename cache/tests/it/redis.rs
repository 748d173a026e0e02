//! The cache on a real Redis.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use ::redis::AsyncConnectionConfig;
use ::redis::aio::MultiplexedConnection;
use devkit::Fault;
use futures_util::future::join_all;
use futures_util::poll;
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio::time::Instant;
use tramline_cache::conformance::{self, Nodes};
use tramline_cache::{Clock, RedisConfig, Store, StoreConfig};

use super::*;
use crate::support::{Running, Texts, key, load, policy, texts, until_async};
use crate::warnings::Warnings;

/// Names of the test's own.
pub(crate) fn named(mut redis: RedisConfig) -> RedisConfig {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    redis.prefix = format!("test:{}:{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    redis.max_backoff = Duration::from_millis(200);
    // What is held together here is not how fast a busy machine answers.
    redis.response_timeout = Duration::from_secs(5);
    redis.connect_timeout = Duration::from_secs(5);
    redis
}

/// A connection beside those of stores, which waits for longer than the driver does by itself.
pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    let time = Some(Duration::from_secs(20));
    let patient = AsyncConnectionConfig::new().set_response_timeout(time).set_connection_timeout(time);
    let client = ::redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

/// A store that hears the others.
pub(crate) async fn node(redis: RedisConfig) -> (Store, AbortOnDropHandle<()>) {
    node_that_waits(redis, StoreConfig::default().lease_wait).await
}

/// One that waits so long for what the others load.
pub(crate) async fn node_that_waits(
    redis: RedisConfig,
    lease_wait: Duration,
) -> (Store, AbortOnDropHandle<()>) {
    let mut config = StoreConfig::default();
    config.lease_wait = lease_wait;
    let store = Store::redis(redis, config).unwrap();
    let run = running(&store);
    until(|| store.stats().attached).await;
    (store, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = devkit::Redis::start().await.unwrap();
    check(&RedisConfig::new(server.url())).await;
    was_asked_modestly(&server.url()).await;
}

/// Nothing that was asked is about all that lies there, and all that lies there has an end.
async fn was_asked_modestly(url: &str) {
    let mut raw = raw(url).await;
    let stats: String = ::redis::cmd("INFO").arg("commandstats").query_async(&mut raw).await.unwrap();
    let asked = |command: &str| stats.contains(&format!("cmdstat_{command}:"));
    assert!(["get", "set", "evalsha", "subscribe"].iter().all(|command| asked(command)), "{stats}");
    let everything = ["keys", "scan", "flushdb", "flushall", "eval", "randomkey", "dbsize", "sort", "swapdb"];
    for command in everything {
        assert!(!asked(command), "{command}: {stats}");
    }
    let names: Vec<String> = ::redis::cmd("KEYS").arg("*").query_async(&mut raw).await.unwrap();
    assert!(names.iter().any(|name| name.contains(":v:")), "{names:?}");
    for name in names {
        let life: i64 = ::redis::cmd("PTTL").arg(&name).query_async(&mut raw).await.unwrap();
        // Of what ended in between there is none.
        assert!(life > 0 || life == -2, "{name} {life}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_conforms() {
    let Some(urls) = devkit::engines::redis_cluster().await else { return };
    check(&RedisConfig::cluster(urls)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_behind_sentinels_conforms() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let watched = devkit::RedisSentinels::start().await.unwrap();
    check(&RedisConfig::sentinel(watched.urls(), devkit::RedisSentinels::MASTER)).await;
}

async fn check(redis: &RedisConfig) {
    let running = Mutex::new(Vec::new());
    conformance::check(|| async {
        let names = named(redis.clone());
        // Some checks wait for so long.
        let wait = Duration::from_secs(4);
        let ((a, run_a), (b, run_b)) =
            (node_that_waits(names.clone(), wait).await, node_that_waits(names, wait).await);
        // Those of the check before are not needed any more, and take time from these.
        *running.lock().unwrap() = vec![run_a, run_b];
        Nodes::new(a, b)
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stands_still_believes_what_it_has_heard_for_so_long() {
    let Some(url) = devkit::engines::redis().await else { return };
    stands_still(named(RedisConfig::new(url))).await;
}

#[tokio::test]
async fn and_so_does_one_of_a_cluster() {
    let Some(urls) = devkit::engines::redis_cluster().await else { return };
    stands_still(named(RedisConfig::cluster(urls))).await;
}

/// On one thread, and by a clock that is told: nothing comes between two lines but what is waited for.
async fn stands_still(redis: RedisConfig) {
    let (a, _run) = node(redis.clone()).await;
    let mut config = StoreConfig::default();
    config.clock = Clock::manual();
    let (clock, age) = (config.clock.clone(), config.detached_age);
    let b = Store::redis(redis, config).unwrap();
    let run = Running::new(b.clone());
    until(|| b.stats().attached).await;
    let [here, there] = [&a, &b].map(|store| texts(store, &policy(Duration::from_secs(600))));
    assert_eq!(load(&there, "one", "old").await, "old");
    assert_eq!(load(&there, "two", "old").await, "old");
    let known = || [key("one"), key("two")].map(|key| there.peek(&key).is_some());
    clock.advance(Duration::from_secs(60));
    assert_eq!(known(), [false; 2], "it may have stood still for so long");
    until(|| known() == [true; 2]).await;

    run.stand(true);
    here.invalidate(&key("one")).await;
    clock.advance(age + Duration::from_secs(3) - Duration::from_millis(1));
    assert_eq!(known(), [true; 2], "it cannot know");
    clock.advance(Duration::from_millis(1));
    assert_eq!(known(), [false; 2]);
    assert_eq!(load(&there, "one", "new").await, "new");
    run.stand(false);
    until(|| known()[1]).await;
    assert_eq!((b.stats().flushes, b.stats().attached), (1, true), "nothing was missed");
}

/// What it ended while Redis was away is told at its end, though nobody would have looked after Redis for a while: its own
/// pause is not over, and nobody asks.
#[tokio::test]
async fn a_store_that_ends_tells_what_redis_has_missed() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let near = named(RedisConfig::new(url));
    let mut far = RedisConfig::new(through);
    far.prefix.clone_from(&near.prefix);
    far.response_timeout = near.response_timeout;
    far.max_backoff = Duration::from_secs(600);
    let (b, _run) = node(near).await;
    let a = Store::redis(far, StoreConfig::default()).unwrap();
    let [here, there] = [&a, &b].map(|store| texts(store, &policy(Duration::from_secs(600))));
    assert_eq!(load(&there, "one", "old").await, "old");
    assert_eq!(load(&here, "one", "never").await, "old");
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let ends = async || {
        a.run(std::future::ready(())).await;
        warnings.take().iter().filter(|said| said.contains(" endings=1 ")).count()
    };
    fault.cut();
    here.invalidate(&key("one")).await;
    for _ in 0..8 {
        assert_eq!(ends().await, 1, "it says what it takes along");
    }
    assert_eq!(load(&there, "one", "never").await, "old");
    fault.heal();
    assert_eq!(ends().await, 0);
    until(|| there.peek(&key("one")).is_none()).await;
}

/// Nobody is left who tells it. And «as long as it takes» is a time like any other.
#[tokio::test]
async fn what_ends_after_its_store_did_is_said() {
    let mut redis = named(RedisConfig::new("redis://127.0.0.1:1"));
    (redis.connect_timeout, redis.response_timeout) = (Duration::MAX, Duration::MAX);
    let store = Store::redis(redis, StoreConfig::default()).unwrap();
    let cache = texts(&store, &policy(Duration::from_secs(600)));
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    assert_eq!(cache.get(&key("ada")).await, None);
    store.run(std::future::ready(())).await;
    warnings.take();
    for ended in 1..3 {
        cache.invalidate(&key(format!("ada {ended}"))).await;
        let [line] = &warnings.take()[..] else { panic!("one line") };
        assert!(line.starts_with("what ended after the store did is not told"), "{line}");
        assert!(line.contains(&format!("endings={ended}")) && !line.contains("ada"), "{line}");
    }
}

/// Callers are polled once, and then not for longer than any answer takes. The driver's queue gives its places to who
/// waits first, polled or not; and who asks for what another place is needed for asks late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_polled_keeps_nobody_from_redis() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut names = named(RedisConfig::new(url));
    names.response_timeout = Duration::from_secs(3);
    let ((a, _run_a), (b, _run_b)) = (node(names.clone()).await, node(names.clone()).await);
    let [here, there] = [&a, &b].map(|store| texts(store, &policy(Duration::from_secs(600))));
    // In many questions, as what a service asks at once is.
    for keys in (0..1_000).collect::<Vec<_>>().chunks(100) {
        join_all(keys.iter().map(async |n| there.set(&key(n), "there".to_owned()).await)).await;
    }
    assert_eq!(load(&here, "warm", "warm").await, "warm");
    let get = async |name| here.get(&name).await.map(|value| (*value).clone()).unwrap_or_default();
    // Each of them once, and not again as soon as it could go on.
    let mut held = Vec::new();
    for n in 0..1_000 {
        let mut question = Box::pin(unconstrained(load_or(&here, n, &get)));
        match poll!(&mut question) {
            Poll::Ready(answer) => assert_eq!(answer, "there"),
            Poll::Pending => held.push(question),
        }
    }
    assert!(held.len() > 900, "{}", held.len());
    let (done, others) = oneshot::channel();
    let asking = tokio::spawn({
        let (here, begun) = (here.clone(), Instant::now());
        async move {
            let mut rounds = 0;
            while rounds < 200 || begun.elapsed() < names.response_timeout * 3 / 2 {
                let name = format!("other {}", rounds % 200);
                here.invalidate(&key(&name)).await;
                assert_eq!(load(&here, &name, "other").await, "other");
                rounds += 1;
            }
            done.send(a.stats().tier_errors).unwrap();
            a
        }
    });
    // Nobody polls the others meanwhile.
    assert_eq!(others.await.unwrap(), 0);
    let a = asking.await.unwrap();
    assert!(join_all(held).await.iter().all(|answer| answer == "there"));
    assert_eq!(a.stats().tier_errors, 0);
}

/// Every second one only looks.
async fn load_or(cache: &Texts, n: usize, get: &impl AsyncFn(String) -> String) -> String {
    if n.is_multiple_of(2) { get(key(n)).await } else { load(cache, &key(n), "loaded").await }
}

/// What goes wrong first: an address, a password, rights. It is said once each time, with its reason and no secret.
#[tokio::test]
async fn a_redis_that_was_never_reached_says_so() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = devkit::Redis::start().await.unwrap();
    let raw = raw(&server.url()).await;
    for user in ["deaf reset on >hunter2 ~* +@all", "none reset on >hunter2"] {
        let mut command = ::redis::cmd("ACL");
        command.arg("SETUSER").arg(user.split(' ').collect::<Vec<_>>());
        let () = command.query_async(&mut raw.clone()).await.unwrap();
    }
    // Each attempt of the feed is a connection.
    let attempts = async |store: &Store| {
        let info: String = ::redis::cmd("INFO").arg("stats").query_async(&mut raw.clone()).await.unwrap();
        let (_, rest) = info.split_once("total_connections_received:").unwrap();
        store.stats().tier_errors + rest.lines().next().unwrap().parse::<u64>().unwrap()
    };
    let at = |who: &str| server.url().replace("redis://", &format!("redis://{who}@"));
    let (away, feed) =
        ("Redis cannot be reached; going on without it", "invalidations are not heard for now");
    let nobody = "redis://ada:hunter2@127.0.0.1:1".to_owned();
    let both = vec![away, feed];
    for (url, said, reason) in [
        (nobody, both.clone(), "refused"),
        (at("deaf:hunter3"), both.clone(), "authentication failed"),
        (at("none:hunter2"), both, "no permissions"),
        (at("deaf:hunter2"), vec![feed], "no permissions"),
    ] {
        let warnings = Warnings::default();
        let _listening = warnings.listen();
        let mut redis = named(RedisConfig::new(&url));
        // More than one attempt.
        redis.max_backoff = Duration::from_millis(1);
        let store = Store::redis(redis, StoreConfig::default()).unwrap();
        let _run = running(&store);
        let cache = texts(&store, &policy(Duration::from_secs(600)));
        assert_eq!(load(&cache, "one", "x").await, "x");
        let before = attempts(&store).await;
        until_async(async || attempts(&store).await > before + 9).await;
        let mut warned = warnings.take();
        warned.sort_unstable_by_key(|line| line.starts_with(feed));
        assert_eq!(warned.len(), said.len(), "{warned:#?}");
        for (line, said) in warned.iter().zip(said) {
            assert!(line.starts_with(said) && line.contains(reason), "{line}");
            assert!(!line.contains("hunter") && !line.contains("ada"), "{line}");
        }
    }
}

/// An application with two providers of TLS in its build has chosen none by that, and rustls would panic.
#[tokio::test]
async fn whoever_asks_for_tls_has_a_provider() {
    let stores = [RedisConfig::new("redis://127.0.0.1:1"), RedisConfig::new("rediss://127.0.0.1:1")]
        .map(|redis| Store::redis(redis, StoreConfig::default()).unwrap());
    assert!(stores.iter().all(|store| !store.stats().attached));
    assert!(rustls::crypto::CryptoProvider::get_default().is_some());
}
