//! What is counted, here and for the metrics facade.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::time::sleep;
use tramline_cache::{Cache, CacheConfig, Refresh, Stats, Store, StoreConfig, Tag};

use crate::support::{Held, Nodes, Texts, fail, in_tokio_time, key, load, policy, texts};

/// A figure, and its name in the facade with the label beside the cache's.
type Figure = (&'static str, fn(&Stats) -> u64);

const COUNTS: [Figure; 16] = [
    ("requests memory", |stats| stats.hits_memory),
    ("requests redis", |stats| stats.hits_shared),
    ("requests load", |stats| stats.misses),
    ("requests stale", |stats| stats.stale),
    ("requests stale_if_error", |stats| stats.stale_if_error),
    ("requests absent", |stats| stats.absent),
    ("loads", |stats| stats.loads),
    ("refreshes", |stats| stats.refreshes),
    ("followers", |stats| stats.followers),
    ("load.errors", |stats| stats.load_errors),
    ("refused", |stats| stats.refused),
    ("unusable too_large", |stats| stats.unusable),
    ("lease.waits", |stats| stats.lease_waits),
    ("invalidations", |stats| stats.invalidations),
    ("io read", |stats| stats.read_bytes),
    ("io write", |stats| stats.written_bytes),
];

/// What a cache did since it was last asked.
struct Ledger<'a> {
    cache: &'a Texts,
    last: Stats,
}

// === impl Ledger ===

impl Ledger<'_> {
    fn since(&mut self) -> String {
        let (last, now) = (std::mem::replace(&mut self.last, self.cache.stats()), self.cache.stats());
        let grown = COUNTS.iter().map(|(name, of)| (name, of(&now) - of(&last))).filter(|(_, by)| *by > 0);
        grown.map(|(name, by)| format!("{name} {by}")).collect::<Vec<_>>().join(", ")
    }
}

/// What the facade has heard, by name without what all names begin with, and by the label beside the cache's.
struct Facade {
    /// A look takes everything out of it.
    news: Snapshotter,
    all: HashMap<String, u64>,
}

// === impl Facade ===

impl Facade {
    fn new(recorder: &DebuggingRecorder) -> Self {
        Self { news: recorder.snapshotter(), all: HashMap::new() }
    }

    fn look(&mut self) -> &HashMap<String, u64> {
        for (key, _, _, value) in self.news.snapshot().into_vec() {
            let name = key.key().name().trim_start_matches("cache.").to_owned();
            let mut labels = key.key().labels().filter(|label| label.key() != "cache");
            let name = labels.next().map_or(name.clone(), |label| format!("{name} {}", label.value()));
            if let DebugValue::Histogram(_) = value {
                continue;
            }
            let told = self.all.entry(name).or_default();
            #[allow(clippy::cast_possible_truncation, reason = "small whole numbers")]
            match value {
                DebugValue::Counter(more) => *told += more,
                DebugValue::Gauge(change) => *told = told.saturating_add_signed(change.into_inner() as i64),
                DebugValue::Histogram(_) => {}
            }
        }
        &self.all
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_counted_and_told() {
    let recorder = DebuggingRecorder::new();
    let mut facade = Facade::new(&recorder);
    let mut eager = policy(Duration::from_secs(10));
    eager.refresh = Refresh::At { share: 0.5 };
    eager.stale_for = Some(Duration::from_secs(60));
    let mut config = CacheConfig::new("texts");
    config.policy = eager.clone();
    let mut nodes = Nodes::new(0, |_| {}).await;
    // The other node tells nobody: there is one facade.
    let a: Texts = {
        let _recording = metrics::set_default_local_recorder(&recorder);
        nodes.join(|_| {}).await;
        nodes.stores[0].cache(config).unwrap()
    };
    nodes.join(|_| {}).await;
    let b = texts(&nodes.stores[1], &eager);
    let mut ledger = Ledger { cache: &a, last: a.stats() };

    load(&a, "one", "x").await;
    assert_eq!(ledger.since(), "requests load 1, loads 1, io write 3");
    load(&a, "one", "y").await;
    a.get(&key("one")).await;
    assert_eq!(ledger.since(), "requests memory 2");
    load(&b, "two", "22").await;
    load(&a, "two", "2").await;
    a.get(&key("none")).await;
    assert_eq!(ledger.since(), "requests redis 1, requests absent 1, io read 4");
    assert!(fail(&a, "three").await.is_err());
    assert_eq!(ledger.since(), "requests load 1, loads 1, load.errors 1");
    tokio::join!(load(&a, "four", "4"), load(&a, "four", "4"));
    let both = "requests load 2, loads 1, followers 1, io write 3";
    assert_eq!(ledger.since(), both, "who waits for another's load has missed too");

    let held = Held::begin(&a, "five").await;
    b.invalidate(&key("five")).await;
    held.end(Ok("5")).await.unwrap();
    let refused = "requests load 1, loads 1, refused 1, invalidations 1, io write 3";
    assert_eq!(ledger.since(), refused);
    let large = || async { Ok::<_, std::fmt::Error>("x".repeat(2 * 1024 * 1024)) };
    a.get_or_load(&key("six"), large).await.unwrap();
    assert_eq!(ledger.since(), "requests load 1, loads 1, unusable too_large 1");
    let held = Held::begin(&b, "seven").await;
    let (other, own) = tokio::join!(load(&a, "seven", "a"), async {
        sleep(Duration::from_millis(100)).await;
        held.end(Ok("b")).await
    });
    assert_eq!(other, own.unwrap());
    assert_eq!(ledger.since(), "requests redis 1, lease.waits 1, io read 3");

    sleep(Duration::from_secs(6)).await;
    load(&a, "one", "z").await;
    sleep(Duration::from_millis(1)).await;
    let anew = "requests memory 1, loads 1, refreshes 1, io read 3, io write 3";
    assert_eq!(ledger.since(), anew);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(fail(&a, "one").await.unwrap(), "z");
    assert_eq!(fail(&a, "one").await.unwrap(), "z");
    let old = "requests stale_if_error 2, loads 1, load.errors 1, io read 3";
    assert_eq!(ledger.since(), old);
    a.invalidate(&key("one")).await;
    a.invalidate_all().await;
    assert_eq!(ledger.since(), "invalidations 2");
    a.set(&key("one"), "end".to_owned()).await;
    assert_eq!(ledger.since(), "io write 5");
    assert!((a.stats().hit_ratio().unwrap() - 7.0 / 13.0).abs() < 1e-9, "{:?}", a.stats());

    // Told once a second.
    let held = Held::begin(&a, "held").await;
    nodes.twin.cut(0);
    sleep(Duration::from_secs(1)).await;
    let (stats, all) = (a.stats(), facade.look());
    for (name, of) in COUNTS {
        assert_eq!(all[name], of(&stats), "{name}");
    }
    assert_eq!((all["entries"], all["weight"]), (1, stats.weight));
    assert_eq!((all["detached"], all["loading"], all["flushes"]), (1, 1, 1));
    held.end(Ok("x")).await.unwrap();
    nodes.twin.heal(0);
    sleep(Duration::from_secs(1)).await;
    let all = facade.look();
    assert_eq!((all["detached"], all["loading"], all["flushes"]), (0, 0, 2));
    assert_eq!((nodes.stores[0].stats().flushes, nodes.stores[0].stats().loading), (2, 0));
}

/// How long loads took, in seconds, by why they failed.
fn durations(news: &Snapshotter) -> BTreeMap<String, Vec<f64>> {
    let mut all = BTreeMap::new();
    for (key, unit, _, value) in news.snapshot().into_vec() {
        let DebugValue::Histogram(took) = value else { continue };
        assert_eq!((key.key().name(), unit), ("cache.load.duration", Some(Unit::Seconds)));
        let labels: Vec<_> = key.key().labels().map(metrics::Label::value).collect();
        all.insert(labels.join(" "), took.iter().map(|took| took.into_inner()).collect());
    }
    all
}

/// A source that becomes slow shows before it fails. What waits for another one's load is no load.
#[tokio::test(start_paused = true)]
async fn what_loads_take_is_told() {
    let recorder = DebuggingRecorder::new();
    let news = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut hasty = policy(Duration::from_secs(60));
    hasty.hard_timeout = Duration::from_secs(4);
    let mut config = in_tokio_time();
    config.max_loads = 1;
    let store = Store::memory(config);
    let cache = texts(&store, &hasty);
    let slow = |seconds: u64, end: fn() -> Result<String, std::fmt::Error>| {
        move || async move {
            sleep(Duration::from_secs(seconds)).await;
            end()
        }
    };
    let found = || Ok("x".to_owned());
    let (one, two) = (key("one"), key("two"));
    let (first, again, _) = tokio::join!(
        cache.get_or_load(&one, slow(1, found)),
        cache.get_or_load(&one, slow(1, found)),
        // For a place, first.
        cache.get_or_load(&two, slow(2, found)),
    );
    assert_eq!(first.unwrap(), again.unwrap());
    cache.get_or_load(&one, slow(1, found)).await.unwrap();
    let many = |keys: Vec<String>| async move {
        sleep(Duration::from_millis(500)).await;
        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "x".to_owned())).collect())
    };
    cache.get_many_or_load(&[key("three"), key("four")], many).await.unwrap();
    cache.get_or_load(&key("fails"), slow(1, || Err(std::fmt::Error))).await.unwrap_err();
    cache.get_or_load(&key("panics"), slow(2, || panic!("on purpose"))).await.unwrap_err();
    cache.get_or_load(&key("hangs"), slow(5, found)).await.unwrap_err();
    let expected = [
        ("texts", vec![1.0, 3.0, 0.5]),
        ("texts failed", vec![1.0]),
        ("texts panic", vec![2.0]),
        ("texts timeout", vec![4.0]),
    ];
    let told = durations(&news);
    assert_eq!(told.keys().collect::<Vec<_>>(), expected.each_ref().map(|(name, _)| name));
    for ((name, took), (_, expected)) in told.iter().zip(expected) {
        assert_eq!(took.len(), expected.len(), "{name}: {took:?}");
        let near = took.iter().zip(&expected).all(|(took, expected)| (took - expected).abs() < 0.01);
        assert!(near, "{name}: {took:?}");
    }
}

/// They are of no cache, so that the store has them: who ended one and who heard of it. Whole caches are counted by the cache.
#[tokio::test(start_paused = true)]
async fn ended_tags_are_counted_by_who_ends_and_by_who_hears() {
    let recorder = DebuggingRecorder::new();
    let mut facade = Facade::new(&recorder);
    let _recording = metrics::set_default_local_recorder(&recorder);
    let nodes = Nodes::new(3, |_| {}).await;
    let alone = Store::memory(in_tokio_time());
    let caches = nodes.texts(&policy(Duration::from_secs(60)));
    nodes.twin.cut(2);
    nodes.stores[0].invalidate_tag(&Tag::of("one")).await;
    nodes.stores[1].invalidate_tags(&[Tag::of("two"), Tag::of("three")]).await;
    caches[0].invalidate_all().await;
    alone.invalidate_tag(&Tag::of("one")).await;
    sleep(Duration::from_secs(1)).await;
    let ended = |store: &Store| store.stats().tag_invalidations;
    assert_eq!([0, 1, 2].map(|node| ended(&nodes.stores[node])), [3, 3, 0]);
    assert_eq!((ended(&alone), caches[0].stats().invalidations), (1, 1));
    alone.run(std::future::ready(())).await;
    assert_eq!((facade.look()["tag.invalidations"], facade.look()["invalidations"]), (7, 2));
}

/// A store that ends says the last of it; one without a tier hears all there is to hear.
#[tokio::test(start_paused = true)]
async fn the_last_figures_are_told_at_the_end() {
    let recorder = DebuggingRecorder::new();
    let mut facade = Facade::new(&recorder);
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = Store::memory(in_tokio_time());
    let cache = texts(&store, &policy(Duration::from_secs(60)));
    assert!(store.stats().attached);
    load(&cache, "one", "x").await;
    load(&cache, "one", "x").await;
    store.run(std::future::ready(())).await;
    let all = facade.look();
    assert_eq!(["loads", "requests memory", "entries"].map(|name| all[name]), [1; 3]);
    assert_eq!(all["detached"], 0);
    assert_eq!(cache.stats().hit_ratio(), Some(0.5));
}

/// The figures of all caches have the same order each time.
#[tokio::test]
async fn caches_are_listed_by_name_and_version() {
    let store = Store::memory(StoreConfig::default());
    let cache = |name: &str, version| {
        let mut config = CacheConfig::new(name);
        config.version = version;
        store.cache(config).unwrap()
    };
    let caches: Vec<Cache<u64, u64>> = [("b", 1), ("a", 2), ("c", 1), ("a", 11), ("a", 1)]
        .map(|(name, version)| cache(name, version))
        .into();
    let listed = store.caches();
    let listed: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.version)).collect();
    assert_eq!(listed, [("a", 1), ("a", 2), ("a", 11), ("b", 1), ("c", 1)]);
    assert_eq!(caches[0].stats().hit_ratio(), None, "nothing was asked");
}
