//! Faults under load: no caller hears of them, and nothing that was ended comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use devkit::{Fault, Redis, RedisCluster, RedisSentinels};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinSet;
use tramline_cache::{Cache, CacheConfig, RedisConfig, StoreConfig};

use super::redis::{named, node, raw};
use super::*;

/// Two nodes under load. Each key has an owner in [`Load::tell`], which raises its version, then invalidates it.
struct Load {
    nodes: Vec<(Store, Cache<u64, u64>)>,
    callers: JoinSet<()>,
    failed: Arc<AtomicUsize>,
    /// How far each caller is.
    steps: Vec<Arc<AtomicU64>>,
    truth: Truth,
    /// Read while a version is raised and ended.
    changing: Arc<RwLock<()>>,
    _running: Vec<AbortOnDropHandle<()>>,
}

/// What the database says.
type Truth = Arc<Vec<AtomicU64>>;

const KEYS: usize = 50;

/// So many steps of each caller say that nobody hangs.
const STEPS: u64 = 20;

// === impl Load ===

impl Load {
    async fn begin(redis: RedisConfig) -> Self {
        let redis = named(redis);
        Self::by([redis.clone(), redis]).await
    }

    /// Each node has a way of its own.
    async fn by(ways: [RedisConfig; 2]) -> Self {
        let [a, b] = ways;
        let ((a, run_a), (b, run_b)) = (node(a).await, node(b).await);
        Self::on(vec![a, b], vec![run_a, run_b])
    }

    /// The same before there is a Redis.
    fn without(redis: RedisConfig) -> Self {
        let redis = named(redis);
        let store = || Store::redis(redis.clone(), StoreConfig::default()).unwrap();
        let stores = vec![store(), store()];
        let running = stores.iter().map(running).collect();
        Self::on(stores, running)
    }

    fn on(stores: Vec<Store>, running: Vec<AbortOnDropHandle<()>>) -> Self {
        let truth: Truth = Arc::new((0..KEYS).map(|_| AtomicU64::new(1)).collect());
        let failed: Arc<AtomicUsize> = Arc::default();
        let (mut nodes, mut callers, mut steps) = (Vec::new(), JoinSet::new(), Vec::new());
        let mut step = || {
            let step: Arc<AtomicU64> = Arc::default();
            steps.push(Arc::clone(&step));
            step
        };
        let changing = Arc::new(RwLock::new(()));
        for store in stores {
            let cache: Cache<u64, u64> = store.cache(CacheConfig::new("faults")).unwrap();
            for _ in 0..4 {
                callers.spawn(ask(cache.clone(), truth.clone(), failed.clone(), step()));
            }
            nodes.push((store, cache));
        }
        // Each node has keys of its own to change.
        for (n, (_, cache)) in nodes.iter().enumerate() {
            let (cache, truth, failed) = (cache.clone(), truth.clone(), failed.clone());
            callers.spawn(change(cache, truth, n, failed, step(), changing.clone()));
        }
        Self { nodes, callers, failed, steps, truth, changing, _running: running }
    }

    /// Each of the callers goes on, whatever happens: who asks and who writes.
    async fn goes_on(&self) {
        for step in &self.steps {
            let before = step.load(Ordering::SeqCst);
            until(|| step.load(Ordering::SeqCst) >= before + STEPS).await;
        }
    }

    async fn attached(&self, attached: bool) {
        until(|| self.nodes.iter().all(|(store, _)| store.stats().attached == attached)).await;
    }

    /// Nothing is changed for as long as this is kept. Who was about to is done with it: no writer hangs.
    async fn quiet(&self) -> OwnedRwLockWriteGuard<()> {
        let quiet = self.changing.clone().write_owned();
        timeout(Duration::from_secs(60), quiet).await.expect("every change comes to its end")
    }

    /// Values live for minutes, and nothing ends them any more: whoever missed an ending until now says so for ever.
    async fn agree(&self, _quiet: OwnedRwLockWriteGuard<()>) {
        for (store, cache) in &self.nodes {
            until(|| store.stats().attached).await;
            for key in 0..KEYS {
                let version = self.truth[key].load(Ordering::SeqCst);
                let agreed =
                    support::until_async(async || get(cache, &self.truth, key).await == Some(version));
                timeout(Duration::from_secs(60), agreed).await.expect("what ended is forgotten by both");
            }
        }
    }

    /// One node has what the other loaded, wherever it lies: so many keys in a row are nowhere else.
    async fn is_shared(&self) {
        let [(_, a), (_, b)] = &self.nodes[..] else { unreachable!() };
        let sharing = async {
            let mut shared = 0;
            while shared < 30 {
                let (key, load) =
                    (rand::random(), |value: u64| move || async move { Ok::<_, std::fmt::Error>(value) });
                a.get_or_load(&key, load(1)).await.unwrap();
                shared = if *b.get_or_load(&key, load(2)).await.unwrap() == 1 { shared + 1 } else { 0 };
            }
        };
        timeout(Duration::from_secs(60), sharing).await.expect("shared again");
    }

    fn end(self) {
        drop(self.callers);
        assert_eq!(self.failed.load(Ordering::SeqCst), 0, "errors, or what was ended");
    }
}

/// Asks for all keys in turn; the owner checks what it gets.
async fn ask(cache: Cache<u64, u64>, truth: Truth, failed: Arc<AtomicUsize>, steps: Arc<AtomicU64>) {
    for key in (0..KEYS).cycle() {
        if get(&cache, &truth, key).await.is_none() {
            failed.fetch_add(1, Ordering::SeqCst);
        }
        steps.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// Changes every second key. Its own node never answers anything older than that.
async fn change(
    cache: Cache<u64, u64>,
    truth: Truth,
    n: usize,
    failed: Arc<AtomicUsize>,
    steps: Arc<AtomicU64>,
    changing: Arc<RwLock<()>>,
) {
    for key in (0..KEYS).cycle().filter(|key| key % 2 == n) {
        let _changing = changing.read().await;
        let version = truth[key].fetch_add(1, Ordering::SeqCst) + 1;
        cache.invalidate(&(key as u64)).await;
        let seen = get(&cache, &truth, key).await;
        if seen.is_none_or(|seen| seen < version) {
            failed.fetch_add(1, Ordering::SeqCst);
        }
        steps.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(1)).await;
    }
}

async fn get(cache: &Cache<u64, u64>, truth: &Truth, key: usize) -> Option<u64> {
    let truth = Arc::clone(truth);
    let load = move || async move { Ok::<_, std::fmt::Error>(truth[key].load(Ordering::SeqCst)) };
    cache.get_or_load(&(key as u64), load).await.ok().map(|version| *version)
}

async fn server() -> Option<Redis> {
    devkit::engines::redis().await?;
    Some(Redis::start().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_there_is_no_error_and_used_when_it_is() {
    let Some(server) = server().await else { return };
    server.stop().await;
    let load = Load::without(RedisConfig::new(server.url()));
    load.goes_on().await;
    load.attached(false).await;
    server.restart().await.unwrap();
    load.attached(true).await;
    load.is_shared().await;
    load.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_killed_and_back() {
    let Some(server) = server().await else { return };
    let load = Load::begin(RedisConfig::new(server.url())).await;
    load.goes_on().await;
    server.stop().await;
    load.attached(false).await;
    load.goes_on().await;
    server.restart().await.unwrap();
    load.attached(true).await;
    load.agree(load.quiet().await).await;
    load.goes_on().await;
    server.kill().await;
    load.attached(false).await;
    load.goes_on().await;
    // It comes back with nothing.
    std::fs::remove_dir_all(server.folder().join("appendonlydir")).unwrap();
    server.restart().await.unwrap();
    load.attached(true).await;
    load.goes_on().await;
    load.agree(load.quiet().await).await;
    load.is_shared().await;
    load.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_and_going_on() {
    let Some(server) = server().await else { return };
    let load = Load::begin(RedisConfig::new(server.url())).await;
    load.goes_on().await;
    server.pause();
    load.attached(false).await;
    load.goes_on().await;
    let quiet = load.quiet().await;
    server.resume();
    load.attached(true).await;
    load.agree(quiet).await;
    load.goes_on().await;
    load.is_shared().await;
    load.end();
}

/// One node of two: the other goes on ending what the first does not hear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_and_half_open() {
    let Some(server) = server().await else { return };
    let names = named(RedisConfig::new(server.url()));
    let (near, far) =
        (Fault::in_front_of(&server.url()).await.unwrap(), Fault::in_front_of(&server.url()).await.unwrap());
    let by = |url: &str| {
        let mut way = RedisConfig::new(url);
        way.prefix.clone_from(&names.prefix);
        way.max_backoff = names.max_backoff;
        way.response_timeout = Duration::from_secs(1);
        way
    };
    let load = Load::by([by(&near.1), by(&far.1)]).await;
    let attached = |n: usize| load.nodes[n].0.stats().attached;
    for _ in 0..3 {
        load.goes_on().await;
        far.0.cut_once();
    }
    load.goes_on().await;
    load.agree(load.quiet().await).await;
    for (n, fault, half) in [(0, &near.0, false), (1, &far.0, true)] {
        if half {
            fault.half_open()
        } else {
            fault.cut()
        }
        until(|| !attached(n)).await;
        load.goes_on().await;
        let quiet = load.quiet().await;
        // Nothing befell this one, or nothing that lasts.
        until(|| attached(1 - n)).await;
        fault.heal();
        load.attached(true).await;
        load.agree(quiet).await;
        load.goes_on().await;
    }
    load.is_shared().await;
    load.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_over_and_back() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let watched = RedisSentinels::start().await.unwrap();
    let load = Load::begin(RedisConfig::sentinel(watched.urls(), RedisSentinels::MASTER)).await;
    load.goes_on().await;
    watched.servers()[0].kill().await;
    load.goes_on().await;
    watched.failed_over().await.unwrap();
    load.goes_on().await;
    load.attached(true).await;
    load.is_shared().await;
    watched.servers()[0].restart().await.unwrap();
    watched.follows().await.unwrap();
    load.goes_on().await;
    load.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_lacks_a_part_for_a_while() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let cluster = RedisCluster::start(3).await.unwrap();
    let load = Load::begin(RedisConfig::cluster(cluster.urls())).await;
    load.goes_on().await;
    for node in cluster.nodes() {
        node.kill().await;
        load.goes_on().await;
        node.restart().await.unwrap();
        load.goes_on().await;
        load.attached(true).await;
    }
    load.is_shared().await;
    load.end();
}

/// One master is lost under load, and then another one, of which the last words are lost, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_of_a_cluster_take_over() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let cluster = RedisCluster::start_with_replicas(3).await.unwrap();
    let redis = named(RedisConfig::cluster(cluster.urls()));
    let load = Load::by([redis.clone(), redis.clone()]).await;
    load.goes_on().await;
    cluster.nodes()[0].kill().await;
    load.goes_on().await;
    cluster.failed_over(0).await.unwrap();
    load.goes_on().await;
    load.attached(true).await;
    load.agree(load.quiet().await).await;
    load.is_shared().await;
    cluster.nodes()[0].restart().await.unwrap();
    cluster.follows(0).await.unwrap();
    load.goes_on().await;

    let (master, replica) = (&cluster.nodes()[1], &cluster.replicas()[1]);
    let mut raw = raw(&master.url()).await;
    let mut deafen = ::redis::cmd("CLIENT");
    deafen.arg("KILL").arg("TYPE").arg("replica");
    replica.pause();
    deafen.exec_async(&mut raw).await.unwrap();
    load.goes_on().await;
    let quiet = load.quiet().await;
    master.kill().await;
    replica.resume();
    cluster.failed_over(1).await.unwrap();
    load.is_shared().await;
    let (third, _running) = node(redis).await;
    let cache = third.cache(CacheConfig::new("faults")).unwrap();
    for (key, version) in load.truth.iter().enumerate() {
        let version = version.load(Ordering::SeqCst);
        assert_eq!(
            get(&cache, &load.truth, key).await,
            Some(version),
            "who has nothing in memory finds it so"
        );
    }
    load.agree(quiet).await;
    load.goes_on().await;
    load.is_shared().await;
    load.end();
}

/// Redis does not answer the first question either: everybody waits for that one, and then loads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_answers_costs_one_wait() {
    let Some(server) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    fault.half_open();
    let mut redis = named(RedisConfig::new(url));
    redis.connect_timeout = Duration::from_secs(2);
    let store = Store::redis(redis, StoreConfig::default()).unwrap();
    let cache: Cache<u64, u64> = store.cache(CacheConfig::new("faults")).unwrap();
    let mut callers = JoinSet::new();
    for key in 0..100 {
        let cache = cache.clone();
        callers.spawn(async move {
            *cache.get_or_load(&key, move || async move { Ok::<_, std::fmt::Error>(key) }).await.unwrap()
        });
    }
    let mut answers = callers.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, Vec::from_iter(0..100));
    fault.heal();
    let shared = async || {
        let load = || async { Ok::<_, std::fmt::Error>(0) };
        cache.get_or_load(&rand::random_range(1_000..u64::MAX), load).await.unwrap();
        cache.stats().written_bytes > 0
    };
    support::until_async(shared).await;
    // By now all that was begun is over.
    assert!(store.stats().tier_errors <= 5, "a hundred wait for one look: {:?}", store.stats());
}
