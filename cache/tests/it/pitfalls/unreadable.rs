//! Values that someone else wrote, and that cannot be read here.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tramline_cache::{Cache, CacheConfig, CacheKey, Codec, KeyParts, Store};

use crate::support::{Nodes, in_tokio_time, policy};

fn cache<V>(store: &Store, change: impl FnOnce(&mut CacheConfig)) -> Cache<u64, V>
where
    V: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let mut config = CacheConfig::new("values");
    config.policy = policy(Duration::from_secs(60));
    change(&mut config);
    store.cache(config).unwrap()
}

async fn load<K: CacheKey, V>(cache: &Cache<K, V>, key: K, value: V) -> V
where
    V: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
{
    (*cache.get_or_load(&key, || async { Ok::<_, std::fmt::Error>(value) }).await.unwrap()).clone()
}

/// Another type: a miss that is counted, and what cannot be read goes.
#[tokio::test(start_paused = true)]
async fn another_type_is_a_miss() {
    let nodes = Nodes::new(2, |_| {}).await;
    let texts: Cache<u64, String> = cache(&nodes.stores[0], |_| {});
    let numbers: Cache<u64, u64> = cache(&nodes.stores[1], |_| {});
    for key in 0..3 {
        assert_eq!(load(&texts, key, "text".to_owned()).await, "text");
    }
    assert_eq!(load(&numbers, 0, 7).await, 7);
    assert_eq!(numbers.get(&1).await, None);
    let many =
        |keys: Vec<u64>| async { Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, 9)).collect()) };
    assert_eq!(*numbers.get_many_or_load(&[2], many).await.unwrap()[&2], 9);
    assert_eq!((numbers.stats().unusable, numbers.stats().loads), (3, 2));
    // What was loaded alone was written over it; what cannot be read is not there any more.
    drop(texts);
    let again: Cache<u64, u64> = cache(&nodes.stores[0], |_| {});
    assert_eq!(again.get(&0).await.as_deref(), Some(&7));
    assert_eq!(again.get(&1).await, None);
    assert_eq!(again.stats().unusable, 0);
}

#[tokio::test(start_paused = true)]
async fn another_codec_is_a_miss() {
    let nodes = Nodes::new(3, |_| {}).await;
    let json: Cache<u64, String> = cache(&nodes.stores[0], |_| {});
    let packed: Cache<u64, String> = cache(&nodes.stores[1], |config| config.codec = Codec::MessagePack);
    let small: Cache<u64, String> = cache(&nodes.stores[2], |config| config.codec = Codec::Postcard);
    assert_eq!(load(&json, 1, "json".to_owned()).await, "json");
    assert_eq!(load(&packed, 1, "packed".to_owned()).await, "packed");
    assert_eq!(load(&small, 1, "small".to_owned()).await, "small");
    assert_eq!((packed.stats().unusable, small.stats().unusable), (1, 1));
    // Bytes that mean something to all of them, and not the same.
    let numbers = |node: usize, codec| -> Cache<u64, u64> {
        let mut config = CacheConfig::new("numbers");
        (config.policy, config.codec) = (policy(Duration::from_secs(60)), codec);
        nodes.stores[node].cache(config).unwrap()
    };
    let codecs = [Codec::Json, Codec::MessagePack, Codec::Postcard];
    for (node, codec) in codecs.into_iter().enumerate() {
        assert_eq!(load(&numbers(node, codec), 1, 7).await, 7, "{codec:?}");
    }
}

/// In memory alone, too: a value is kept by what its own codec can carry, and JSON has texts alone for names.
#[tokio::test(start_paused = true)]
async fn a_value_is_judged_by_its_own_codec() {
    let nodes = Nodes::new(1, |_| {}).await;
    let value = HashMap::from([((1_u64, 2_u64), 3_u64)]);
    for (key, codec) in (0..).zip([Codec::Json, Codec::MessagePack, Codec::Postcard]) {
        let mut weights = Vec::new();
        for store in [&Store::memory(in_tokio_time()), &nodes.stores[0]] {
            let cache: Cache<u64, HashMap<(u64, u64), u64>> = cache(store, |config| config.codec = codec);
            assert_eq!(load(&cache, key, value.clone()).await, value);
            let stats = cache.stats();
            let kept = u64::from(codec != Codec::Json);
            assert_eq!((stats.entries, stats.unusable), (kept, 1 - kept), "{codec:?}");
            weights.push(stats.weight);
        }
        assert_eq!(weights[0], weights[1], "{codec:?}");
    }
}

/// Writes and reads itself only when it is told to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Odd(bool);

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        assert!(std::hint::black_box(self.0), "on purpose");
        to.serialize_bool(self.0)
    }
}

impl<'a> serde::Deserialize<'a> for Odd {
    fn deserialize<D: serde::Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        bool::deserialize(from).map(Self)
    }
}

/// The value's own code runs between a load and its answer: when it panics, nobody is left waiting, and no lease is left.
#[tokio::test(start_paused = true)]
async fn a_value_that_panics_when_it_is_written_leaves_nothing_behind() {
    let nodes = Nodes::new(2, |config| config.lease_ttl = Duration::from_secs(3_600)).await;
    let [a, b]: [Cache<u64, Odd>; 2] = [0, 1].map(|node| cache(&nodes.stores[node], |_| {}));
    let begun = tokio::time::Instant::now();
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, std::fmt::Error>(Odd(false))
    };
    let follows = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        load(&a, 1, Odd(true)).await
    };
    let (leads, follows) = tokio::join!(a.get_or_load(&1, slow), follows);
    assert!(leads.is_err());
    assert_eq!((follows, load(&b, 1, Odd(true)).await), (Odd(true), Odd(true)));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(b.stats().loads, 0);
}

/// What one process packs, another one unpacks, whichever way; what is small is not compressed.
#[tokio::test(start_paused = true)]
async fn every_codec_comes_back_from_the_tier() {
    type Value = (String, Option<u64>, Vec<i32>);
    let small: Value = ("x".repeat(60), None, vec![-1]);
    let large: Value = ("large ".repeat(1_000), Some(7), (0..1_000).collect());
    for codec in [Codec::Json, Codec::MessagePack, Codec::Postcard] {
        let mut sizes = Vec::new();
        for compress_from in [None, Some(100)] {
            let nodes = Nodes::new(2, |_| {}).await;
            let [a, b]: [Cache<u64, Value>; 2] = [0, 1].map(|node| {
                cache(&nodes.stores[node], |config| {
                    (config.codec, config.compress_from) = (codec, compress_from)
                })
            });
            assert_eq!(load(&a, 1, small.clone()).await, small);
            sizes.push(a.stats().written_bytes);
            assert_eq!(load(&a, 2, large.clone()).await, large);
            sizes.push(a.stats().written_bytes);
            for (key, value) in [(1, &small), (2, &large)] {
                assert_eq!(b.get(&key).await.as_deref(), Some(value), "{codec:?} {compress_from:?}");
            }
            assert_eq!((b.stats().read_bytes, b.stats().unusable), (a.stats().written_bytes, 0));
        }
        let [plain, plain_both, small, both] = sizes[..] else { unreachable!() };
        assert_eq!(small, plain, "{codec:?}");
        assert!(both < plain_both / 2, "{codec:?}: {both} of {plain_both}");
    }
}

/// Two versions run beside each other, as in a deployment that rolls.
#[tokio::test(start_paused = true)]
async fn another_version_is_another_cache() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [old, beside]: [Cache<u64, String>; 2] = [0, 1].map(|node| cache(&nodes.stores[node], |_| {}));
    let new: Cache<u64, u64> = cache(&nodes.stores[1], |config| config.version = 2);
    assert_eq!(load(&old, 1, "old".to_owned()).await, "old");
    assert_eq!(load(&new, 1, 2).await, 2);
    assert_eq!(load(&beside, 1, "other".to_owned()).await, "old");
    new.invalidate_all().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(beside.peek(&1).as_deref().map(String::as_str), Some("old"));
    assert_eq!(new.get(&1).await, None);
    assert_eq!((old.stats().unusable, new.stats().unusable), (0, 0));
}

/// Compressed by one, small to the other: the codec says nothing about it, the envelope does.
#[tokio::test(start_paused = true)]
async fn large_values_come_back_whatever_is_compressed() {
    let nodes = Nodes::new(2, |_| {}).await;
    let packs: Cache<u64, String> = cache(&nodes.stores[0], |config| config.compress_from = Some(100));
    let plain: Cache<u64, String> = cache(&nodes.stores[1], |config| config.compress_from = None);
    let large = "large ".repeat(10_000);
    assert_eq!(load(&packs, 1, large.clone()).await, large);
    assert_eq!(load(&plain, 1, String::new()).await, large);
    assert_eq!(load(&plain, 2, large.clone()).await, large);
    assert_eq!(load(&packs, 2, String::new()).await, large);
    assert!(packs.stats().written_bytes < 2_000 && plain.stats().written_bytes > 60_000);
    // More than this node takes is not for it.
    drop(plain);
    let short: Cache<u64, String> = cache(&nodes.stores[1], |config| config.max_value = 1_000);
    assert_eq!(short.get(&1).await, None);
    assert_eq!(short.stats().unusable, 1);
}

/// Cannot stand what another version wrote.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Touchy(u64);

impl serde::Serialize for Touchy {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<'a> serde::Deserialize<'a> for Touchy {
    fn deserialize<D: serde::Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(from)?;
        assert_ne!(value, 7, "on purpose");
        Ok(Self(value))
    }
}

/// It is a miss that is counted, as every value that cannot be read.
#[tokio::test(start_paused = true)]
async fn a_value_that_panics_when_it_is_read_is_a_miss() {
    let nodes = Nodes::new(2, |config| config.lease_ttl = Duration::from_secs(3_600)).await;
    let [a, b]: [Cache<u64, Touchy>; 2] = [0, 1].map(|node| cache(&nodes.stores[node], |_| {}));
    for many_first in [false, true] {
        for key in 0..5 {
            b.set(&key, Touchy(if key == 4 { 4 } else { 7 })).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let before = a.stats();
        let ask_many = async || {
            let many = |keys: Vec<u64>| async {
                Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, Touchy(9))).collect())
            };
            let found = a.get_many_or_load(&[2, 3, 4], many).await.unwrap();
            assert_eq!([2, 3, 4].map(|key| *found[&key]), [Touchy(9), Touchy(9), Touchy(4)]);
        };
        if many_first {
            // So that it reads for itself, too.
            assert_eq!(a.get_many_or_load(&[4], odd).await.unwrap().len(), 1);
            a.invalidate(&4).await;
            b.set(&4, Touchy(4)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            ask_many().await;
        }
        assert_eq!(load(&a, 0, Touchy(1)).await, Touchy(1));
        assert_eq!(a.get(&1).await, None);
        if !many_first {
            ask_many().await;
        }
        assert!(a.stats().unusable - before.unusable >= 4);
        assert_eq!(a.stats().load_errors, 0);
        for key in 0..4 {
            b.invalidate(&key).await;
            assert_eq!(load(&b, key, Touchy(key)).await, Touchy(key));
        }
        assert_eq!(b.stats().lease_waits, 0, "nobody has a lease");
    }
}

async fn odd(keys: Vec<u64>) -> Result<HashMap<u64, Touchy>, std::fmt::Error> {
    Ok(keys.into_iter().map(|key| (key, Touchy(1))).collect())
}

/// Cannot be written while it is told so.
#[derive(Clone)]
struct Key(u64, Arc<AtomicBool>);

impl CacheKey for Key {
    fn write(&self, parts: &mut KeyParts) {
        assert!(!self.1.load(Ordering::SeqCst), "on purpose");
        parts.push(self.0);
    }
}

impl Eq for Key {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// It is a panic of who asks with it, and of nobody else; the key can be asked for as before.
#[tokio::test(start_paused = true)]
async fn a_key_that_panics_is_a_panic_of_one_caller() {
    let nodes = Nodes::new(2, |config| config.lease_ttl = Duration::from_secs(3_600)).await;
    let [a, b]: [Cache<Key, u64>; 2] = [0, 1].map(|node| {
        let mut config = CacheConfig::new("keys");
        config.policy = policy(Duration::from_secs(60));
        nodes.stores[node].cache(config).unwrap()
    });
    let panics = Arc::new(AtomicBool::new(false));
    let key = |n| Key(n, Arc::clone(&panics));
    let each =
        |keys: Vec<Key>| async { Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, 1)).collect()) };
    b.set(&key(0), 0).await;
    assert_eq!(
        *a.get_many_or_load(&[key(0)], each).await.unwrap()[&key(0)],
        0,
        "from now on it reads for itself"
    );
    for (n, many) in [(1, false), (2, true)] {
        panics.store(true, Ordering::SeqCst);
        let asked = {
            let (a, key) = (a.clone(), key(n));
            if many {
                tokio::spawn(async move { drop(a.get_many_or_load(&[key], each).await) })
            } else {
                tokio::spawn(async move { assert_ne!(load(&a, key, 1).await, 1) })
            }
        };
        assert!(asked.await.unwrap_err().is_panic());
        panics.store(false, Ordering::SeqCst);
        // Who reads for itself has no lease; who leads a flight has.
        nodes.twin.slow(0, Duration::from_millis(50));
        let (single, all) = (load(&a, key(n), 1), [key(n)]);
        let mut alone = std::pin::pin!(async {
            if many { *a.get_many_or_load(&all, each).await.unwrap()[&all[0]] } else { single.await }
        });
        assert!(futures_util::poll!(alone.as_mut()).is_pending());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(load(&b, key(n), 2).await, 2);
        assert_eq!((b.stats().lease_waits, alone.await), (0, 2), "many: {many}");
        nodes.twin.slow(0, Duration::ZERO);
    }
}
