//! What the facade hears.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::{CacheMetrics, Counter, HitCount, StoreMetrics};
use crate::cache::Reason;
use crate::{Cache, CacheConfig, Stats, Store, StoreConfig};

/// What all series stand at. A look at the recorder takes everything out of it.
struct Seen {
    recorder: Snapshotter,
    all: BTreeMap<String, f64>,
}

// === impl Seen ===

impl Seen {
    fn get(&mut self, series: &str) -> f64 {
        self.all()[series]
    }

    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    fn all(&mut self) -> &BTreeMap<String, f64> {
        for (key, unit, text, value) in self.recorder.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            // Who exposes them adds the unit and the kind to the name.
            assert!(unit.is_some() && text.is_some(), "{key}");
            let adds = ["total", "bytes", "seconds"];
            assert!(!adds.iter().any(|added| key.name().ends_with(added)), "{key}");
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            *self.all.entry(format!("{}{{{}}}", key.name(), labels.join(","))).or_default() += match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(level) => level.into_inner(),
                // Told at once, and each for itself.
                DebugValue::Histogram(_) => continue,
            };
        }
        &self.all
    }
}

fn numbers(store: &Store, version: u32) -> Cache<u64, u64> {
    let mut config = CacheConfig::new("numbers");
    config.version = version;
    store.cache(config).unwrap()
}

async fn load(cache: &Cache<u64, u64>, keys: std::ops::Range<u64>) {
    for key in keys {
        cache.get_or_load(&key, move || async move { Ok::<_, std::fmt::Error>(key) }).await.unwrap();
    }
}

#[test]
fn hits_of_all_threads_are_counted() {
    let hits = HitCount::new(Counter::noop());
    // At once: one that is gone leaves its number to the next one.
    let all = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                hits.add();
                all.wait();
                (1..100).for_each(|_| hits.add());
            });
        }
    });
    assert_eq!(hits.get(), 400);
}

/// The services of one process, or a version that takes the place of another.
#[tokio::test]
async fn caches_of_one_name_are_told_of_together() {
    let recorder = DebuggingRecorder::new();
    let mut seen = Seen { recorder: recorder.snapshotter(), all: BTreeMap::new() };
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let [one, other] = [0; 2].map(|_| Store::memory(StoreConfig::default()));
    let (first, second, beside) = (numbers(&one, 1), numbers(&one, 2), numbers(&other, 1));
    load(&first, 0..5).await;
    load(&second, 0..3).await;
    load(&beside, 0..2).await;
    load(&beside, 0..2).await;
    let [loads, hits, entries] = [
        "cache.loads{cache=numbers}",
        "cache.requests{cache=numbers,from=memory}",
        "cache.entries{cache=numbers}",
    ];
    for _ in 0..2 {
        one.run(ready(())).await;
        other.run(ready(())).await;
        assert_eq!([seen.get(loads), seen.get(hits), seen.get(entries)], [10.0, 2.0, 10.0]);
    }
    first.invalidate(&0).await;
    load(&first, 5..6).await;
    load(&first, 5..6).await;
    one.run(ready(())).await;
    assert_eq!([seen.get(loads), seen.get(hits), seen.get(entries)], [11.0, 3.0, 10.0]);

    // What goes takes its entries along, and leaves what it did, told or not.
    load(&second, 0..9).await;
    drop(second);
    assert_eq!([seen.get(loads), seen.get(hits), seen.get(entries)], [17.0, 6.0, 7.0]);
    let again = numbers(&one, 2);
    load(&again, 0..1).await;
    one.run(ready(())).await;
    assert_eq!([seen.get(loads), seen.get(entries)], [18.0, 8.0]);
}

#[tokio::test]
async fn stores_are_told_of_together() {
    let recorder = DebuggingRecorder::new();
    let mut seen = Seen { recorder: recorder.snapshotter(), all: BTreeMap::new() };
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let twin = crate::tier::twin::Twin::new();
    let alone = Store::memory(StoreConfig::default());
    let [one, other] = [0; 2].map(|_| Store::twin(&twin, StoreConfig::default()));
    let [detached, flushes] = ["cache.detached{}", "cache.flushes{}"];
    assert_eq!(seen.get(detached), 2.0, "in memory alone there is nothing to hear");
    alone.run(ready(())).await;
    let hearing = async |store: &Store| {
        let (end, ends) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn({
            let store = store.clone();
            async move { store.run(async { drop(ends.await) }).await }
        });
        while !store.stats().attached {
            tokio::task::yield_now().await;
        }
        (end, running)
    };
    let (end, running) = hearing(&one).await;
    assert_eq!(seen.get(detached), 1.0);
    let (end_other, running_other) = hearing(&other).await;
    assert_eq!(seen.get(detached), 0.0);
    end.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(seen.get(detached), 1.0);
    drop(one);
    assert_eq!(seen.get(detached), 0.0, "what is no more is not missed");
    end_other.send(()).unwrap();
    running_other.await.unwrap();
    assert_eq!((seen.get(detached), seen.get(flushes)), (1.0, 2.0));
}

/// Each number has a series of its own, with names of ours as labels and nothing else, and the guide has them all.
#[test]
fn the_series_are_those_of_the_guide() {
    let recorder = DebuggingRecorder::new();
    let mut seen = Seen { recorder: recorder.snapshotter(), all: BTreeMap::new() };
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (cache, store) = (CacheMetrics::new("numbers"), StoreMetrics::new());
    // By their names, so that a new one has to come here.
    let CacheMetrics {
        name: _,
        load_duration: _,
        hits_memory,
        hits_shared,
        misses,
        stale,
        stale_if_error,
        absent,
        loads,
        refreshes,
        followers,
        load_errors,
        refused,
        unusable: _,
        lease_waits,
        invalidations,
        read_bytes,
        written_bytes,
        weight,
        entries,
    } = &cache;
    let StoreMetrics { tier_errors, flushes, tag_invalidations, detached, loading, pending } = &store;
    let often = [
        (hits_memory, "requests{cache=numbers,from=memory}"),
        (hits_shared, "requests{cache=numbers,from=redis}"),
        (read_bytes, "io{cache=numbers,direction=read}"),
    ];
    let counts = [
        (misses, "requests{cache=numbers,from=load}"),
        (stale, "requests{cache=numbers,from=stale}"),
        (stale_if_error, "requests{cache=numbers,from=stale_if_error}"),
        (absent, "requests{cache=numbers,from=absent}"),
        (loads, "loads{cache=numbers}"),
        (refreshes, "refreshes{cache=numbers}"),
        (followers, "followers{cache=numbers}"),
        (load_errors, "load.errors{cache=numbers}"),
        (refused, "refused{cache=numbers}"),
        (cache.unusable(Reason::Unreadable), "unusable{cache=numbers,reason=unreadable}"),
        (cache.unusable(Reason::Unwritable), "unusable{cache=numbers,reason=unwritable}"),
        (cache.unusable(Reason::TooLarge), "unusable{cache=numbers,reason=too_large}"),
        (cache.unusable(Reason::TooManyTags), "unusable{cache=numbers,reason=too_many_tags}"),
        (cache.unusable(Reason::TooHeavy), "unusable{cache=numbers,reason=too_heavy}"),
        (lease_waits, "lease.waits{cache=numbers}"),
        (invalidations, "invalidations{cache=numbers}"),
        (written_bytes, "io{cache=numbers,direction=write}"),
        (tier_errors, "redis.errors{}"),
        (flushes, "flushes{}"),
        (tag_invalidations, "tag.invalidations{}"),
    ];
    let levels = [
        (weight, "weight{cache=numbers}"),
        (entries, "entries{cache=numbers}"),
        (detached, "detached{}"),
        (loading, "loading{}"),
        (pending, "pending{}"),
    ];
    let mut expected = BTreeMap::new();
    for (n, (count, series)) in (1..).zip(often) {
        count.add_many(n);
        expected.insert(series, n);
    }
    for (n, (count, series)) in (10..).zip(counts) {
        count.add_many(n);
        expected.insert(series, n);
    }
    for (n, (level, series)) in (100..).zip(levels) {
        level.set(n as u64);
        expected.insert(series, n);
    }
    for _ in 0..2 {
        cache.publish();
        store.publish();
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let expected = expected.iter().map(|(series, n)| (format!("cache.{series}"), *n as f64));
        assert_eq!(*seen.all(), expected.collect());
    }

    let guide = include_str!("../../../docs/guides/caching.md");
    let quoted = guide.lines().filter(|line| line.starts_with("| `cache.")).flat_map(|line| line.split('`'));
    let named = quoted.filter_map(|part| part.strip_prefix("cache."));
    let name = |series: &str| series.split('{').next().unwrap_or_default().to_owned();
    let mut told: BTreeSet<String> = expected.keys().map(|series| name(series)).collect();
    // That of loads, and the layer's for HTTP, which counts by itself.
    told.extend(["load.duration", "http.not_kept", "http.passed_by"].map(str::to_owned));
    assert_eq!(named.map(name).collect::<BTreeSet<_>>(), told);
}

#[test]
fn the_hit_ratio_is_of_all_that_was_answered_without_a_load() {
    let ratio = |memory, shared, [stale, failed]: [u64; 2], misses| {
        let stats = Stats { hits_memory: memory, hits_shared: shared, stale, ..Stats::default() };
        // What a `get` does not find nobody loads.
        Stats { stale_if_error: failed, misses, absent: 100, ..stats }.hit_ratio()
    };
    assert_eq!(ratio(0, 0, [0, 0], 0), None);
    assert_eq!(ratio(0, 0, [0, 0], 7), Some(0.0));
    assert_eq!(ratio(1, 2, [2, 1], 2), Some(0.75));
}
