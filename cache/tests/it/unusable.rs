//! Values that cannot be kept: counted by their reasons, and said once.

use std::collections::HashMap;
use std::fmt::Error as Fails;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tramline_cache::{Cache, CacheConfig, CacheKey, Loaded, Store, Tag};

use crate::support::{Nodes, policy};
use crate::warnings::Warnings;

/// As JSON has no word for it.
type Unwritable = HashMap<(u64, u64), u64>;

fn cache<K: CacheKey, V>(store: &Store, name: &str) -> Cache<K, V>
where
    V: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let mut config = CacheConfig::new(name);
    config.policy = policy(Duration::from_secs(60));
    (config.max_value, config.max_weight) = (1_000, 10_000);
    store.cache(config).unwrap()
}

async fn load<K: CacheKey, V>(cache: &Cache<K, V>, key: K, loaded: Loaded<V>)
where
    V: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    cache.get_or_load(&key, || async { Ok::<_, Fails>(loaded) }).await.unwrap();
}

/// What the facade has heard of them since the last time.
fn counted(news: &Snapshotter) -> Vec<(String, u64)> {
    let mut counted = Vec::new();
    for (key, .., value) in news.snapshot().into_vec() {
        if let DebugValue::Counter(more @ 1..) = value
            && key.key().name() == "cache.unusable"
        {
            let labels: Vec<_> = key.key().labels().map(metrics::Label::value).collect();
            counted.push((labels.join(" "), more));
        }
    }
    counted
}

/// A type that does not survive its codec is loaded for ever: someone has to be told, and not once for each load. The codec's
/// own words may quote the value.
#[tokio::test(start_paused = true)]
async fn each_reason_is_counted_and_said_once() {
    let recorder = DebuggingRecorder::new();
    let news = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let nodes = Nodes::new(2, |_| {}).await;
    for store in [Store::memory(crate::support::in_tokio_time()), nodes.stores[0].clone()] {
        let texts: Cache<String, String> = cache(&store, "texts");
        let maps: Cache<String, Unwritable> = cache(&store, "maps");
        let told = async |reason: &str, words: &str| {
            store.run(std::future::ready(())).await;
            let name = if reason == "unwritable" { "maps" } else { "texts" };
            assert_eq!(counted(&news), [(format!("{name} {reason}"), 2)]);
            let line = format!("{words} cache={name:?} version=1 codec=Json reason={reason:?}");
            assert_eq!(warnings.take(), [line]);
        };
        let key = |n: u64| format!("secret {n}");
        for n in 0..2 {
            load(&maps, key(n), Unwritable::from([((n, n), n)]).into()).await;
        }
        told("unwritable", "its codec cannot write a value; it is loaded each time").await;
        load(&texts, key(0), "x".repeat(1_001).into()).await;
        texts.set(&key(1), "x".repeat(999)).await;
        told("too_large", "a value is larger than `max_value`; it is loaded each time").await;
        let tagged = |n: u64| Loaded::new(key(n)).with_tags((0..17).map(|n| Tag::new("n", &n)));
        load(&texts, key(0), tagged(0)).await;
        texts.set(&key(1), tagged(1)).await;
        told("too_many_tags", "a value has too many tags; it is loaded each time").await;
        for n in 0..2 {
            load(&texts, key(n).repeat(1_000), key(n).into()).await;
        }
        let heavy = "a value has no place in memory with its key and tags; `max_weight` is too small";
        told("too_heavy", heavy).await;
    }
    let texts: Cache<u64, String> = cache(&nodes.stores[0], "either");
    let numbers: Cache<u64, u64> = cache(&nodes.stores[1], "either");
    for n in 0..2 {
        texts.set(&n, format!("secret {n}")).await;
        assert_eq!(numbers.get(&n).await, None);
    }
    nodes.stores[1].run(std::future::ready(())).await;
    assert_eq!(counted(&news), [("either unreadable".to_owned(), 2)]);
    let unreadable = "a value in the shared tier cannot be read; it is a miss";
    let line = format!("{unreadable} cache=\"either\" version=1 codec=Json reason=\"unreadable\"");
    assert_eq!(warnings.take(), [line]);
    assert_eq!(numbers.stats().unusable, 2);
}
