//! What caches leave in the shared tier.

use std::time::Duration;

use rand::RngExt;
use tokio::time::sleep;

use crate::tier::Slot;
use crate::tier::twin::Twin;
use crate::{Cache, CacheConfig, Clock, Error, Loaded, Policy, Refresh, Store, StoreConfig, Tag};

const MAX: Duration = Duration::from_secs(4);

async fn load(cache: &Cache<u64, u64>, key: u64, how: u32) -> Result<(), Error> {
    let answer = move || async move {
        sleep(Duration::from_millis(u64::from(how % 40))).await;
        match how % 5 {
            0 => Err(std::fmt::Error),
            1 => Ok(None),
            2 => Ok(Some(Loaded::new(key).with_tags([Tag::of("late")]))),
            3 => Ok(Some(Loaded::new(key).with_ttl(Duration::from_secs(u64::MAX)))),
            _ => Ok(Some(Loaded::new(key).with_ttl(Duration::from_nanos(1)))),
        }
    };
    cache.get_or_find(&key, answer).await.map(drop)
}

/// However many come together, they do not end together: in the tier neither.
#[tokio::test(start_paused = true)]
async fn lives_are_spread_in_the_tier_whatever_brought_the_values() {
    const MANY: u64 = 1_000;
    for way in ["set", "many", "load"] {
        let twin = Twin::new();
        let mut config = CacheConfig::new("numbers");
        config.policy = Policy::new(Duration::from_secs(100));
        let cache: Cache<u64, u64> = Store::twin(&twin, StoreConfig::default()).cache(config).unwrap();
        if way == "many" {
            let keys: Vec<u64> = (0..MANY).collect();
            let each = |keys: Vec<u64>| async move {
                Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, key)).collect())
            };
            cache.get_many_or_load(&keys, each).await.unwrap();
        }
        for key in 0..MANY {
            match way {
                "set" => cache.set(&key, key).await,
                "load" => {
                    let load = move || async move { Ok::<_, std::fmt::Error>(key) };
                    drop(cache.get_or_load(&key, load).await.unwrap());
                }
                _ => {}
            }
        }
        let [lives, _] = twin.lives();
        let within = |from: u64, to: u64| lives.iter().filter(|life| (from..=to).contains(*life)).count();
        assert_eq!((lives.len(), within(90_000, 100_000)), (1_000, 1_000), "{way}");
        let quarters = [within(90_000, 92_500), within(97_500, 100_000)];
        assert!(quarters.iter().all(|many| *many > 100), "{way}: {quarters:?}");
    }
}

/// Whatever is done, nothing lies there without an end, nor with one that is later than allowed.
#[tokio::test(start_paused = true)]
async fn all_that_lies_in_the_tier_has_a_life_that_ends() {
    let twin = Twin::new();
    let mut config = StoreConfig { cut_policies: true, ..StoreConfig::default() };
    (config.clock, config.max_ttl, config.lease_ttl) = (Clock::tokio(), MAX, Duration::from_millis(500));
    let stores = [Store::twin(&twin, config.clone()), Store::twin(&twin, config)];
    let caches: Vec<Cache<u64, u64>> =
        stores.iter().map(|store| store.cache(CacheConfig::new("numbers")).unwrap()).collect();
    let mut longest = [0, 0];
    for _ in 0..2_000 {
        let mut random = rand::rng();
        let mut policy = Policy::new(Duration::from_millis(random.random_range(0..10_000)));
        let maybe =
            |most: u64| Some(Duration::from_millis(rand::random_range(0..=most))).filter(|_| rand::random());
        policy.negative_ttl = maybe(10_000);
        policy.stale_for = maybe(10_000);
        policy.soft_timeout = maybe(50);
        policy.tags = [Tag::of("one"), Tag::of("two")][..random.random_range(0..3)].to_vec();
        if random.random() {
            policy.refresh = Refresh::At { share: 0.3 };
        }
        let node = random.random_range(0..2);
        let cache = caches[node].with_policy(policy).unwrap();
        let (key, how) = (random.random_range(0..10), random.random());
        match random.random_range(0..10) {
            0..6 => drop(load(&cache, key, how).await),
            6 => cache.set(&key, key).await,
            7 => cache.invalidate(&key).await,
            8 => stores[node].invalidate_tag(&Tag::of("one")).await,
            _ => cache.invalidate_all().await,
        }
        for (lives, longest) in twin.lives().into_iter().zip(&mut longest) {
            assert!(lives.iter().all(|life| *life > 0));
            *longest = lives.into_iter().fold(*longest, u64::max);
        }
        sleep(Duration::from_millis(u64::from(how % 300))).await;
    }
    let [slots, marks] = longest;
    let [max, day] = [MAX, Duration::from_secs(24 * 60 * 60)].map(crate::clock::millis);
    assert!((max - 100..=max).contains(&slots), "{slots}");
    // One that was ended says so for a day.
    assert!((2 * max..=day).contains(&marks), "{marks}");
}

/// It is never answered as something old, so that it need not lie there for as long as that may be.
#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_lies_there_for_its_life() {
    let twin = Twin::new();
    let [(_, cache), _] = two(&twin);
    let mut policy = Policy::new(MAX);
    (policy.negative_ttl, policy.stale_for) = (Some(Duration::from_secs(1)), Some(MAX));
    let nothing = || async { Ok::<_, std::fmt::Error>(None::<u64>) };
    cache.with_policy(policy).unwrap().get_or_find(&1, nothing).await.unwrap();
    let [slots, _] = twin.lives();
    assert!(matches!(slots[..], [1..=1_000]), "{slots:?}");
}

fn two(twin: &Twin) -> [(Store, Cache<u64, u64>); 2] {
    let config = StoreConfig { clock: Clock::tokio(), ..StoreConfig::default() };
    [(); 2].map(|()| {
        let store = Store::twin(twin, config.clone());
        let cache = store.cache(CacheConfig::new("numbers")).unwrap();
        (store, cache)
    })
}

/// What is no value of ours goes, and what is loaded in its place has the place.
#[tokio::test(start_paused = true)]
async fn what_is_no_value_at_all_goes() {
    let twin = Twin::new();
    let [(store, a), (_, b)] = two(&twin);
    for many in [false, true] {
        let slot = Slot { space: "numbers.1".into(), key: format!(":{}", u64::from(many)).into() };
        let key = u64::from(many);
        assert!(store.0.tier.put(&slot, b"nonsense".to_vec(), MAX).await);
        for value in [7, 8] {
            let found = if many {
                let load = move |keys: Vec<u64>| async move {
                    Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, value)).collect())
                };
                a.get_many_or_load(&[key], load).await.unwrap()[&key].clone()
            } else {
                a.get_or_load(&key, move || async move { Ok::<_, std::fmt::Error>(value) }).await.unwrap()
            };
            // Loaded for many it is kept in memory, and the place is free.
            assert_eq!(*found, 7);
        }
        assert_eq!(load_of(&b, key, 9).await, if many { 9 } else { 7 });
    }
    assert_eq!((a.stats().unusable, b.stats().unusable), (2, 0));
}

async fn load_of(cache: &Cache<u64, u64>, key: u64, value: u64) -> u64 {
    *cache.get_or_load(&key, move || async move { Ok::<_, std::fmt::Error>(value) }).await.unwrap()
}

/// A place that is something else each time it is looked at: who asks has the load's answer in the end.
#[tokio::test(start_paused = true)]
async fn what_changes_all_the_time_is_loaded_in_the_end() {
    let twin = Twin::new();
    let [(_, a), (store, _)] = two(&twin);
    twin.slow(0, Duration::from_millis(40));
    let slot = Slot { space: "numbers.1".into(), key: ":1".into() };
    let changes = async {
        for n in 0_u64.. {
            store.0.tier.put(&slot, n.to_be_bytes().to_vec(), MAX).await;
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        found = load_of(&a, 1, 7) => assert_eq!(found, 7),
        () = changes => {}
        () = sleep(Duration::from_secs(60)) => panic!("it asks for ever"),
    }
}

/// Who waits for another process is remembered for as long as it waits.
#[tokio::test(start_paused = true)]
async fn those_who_waited_are_forgotten() {
    let twin = Twin::new();
    let [(_, a), (_, b)] = two(&twin);
    for key in 0..50 {
        let slow = move || async move {
            sleep(Duration::from_millis(100)).await;
            Ok::<_, std::fmt::Error>(key)
        };
        let waits = async {
            sleep(Duration::from_millis(50)).await;
            load_of(&b, key, 0).await
        };
        let (first, second) = tokio::join!(a.get_or_load(&key, slow), waits);
        assert_eq!((*first.unwrap(), second), (key, key));
        assert!(b.inner.waiting.lock().unwrap().len() <= 1);
    }
    assert_eq!(b.stats().lease_waits, 50);
}

/// The future of a question is allocated when memory has no answer: what is larger than a KiB costs most allocators a
/// search.
#[tokio::test]
async fn a_question_is_a_small_allocation() {
    let cache: Cache<u64, u64> =
        Store::memory(StoreConfig::default()).cache(CacheConfig::new("numbers")).unwrap();
    let job = super::job::job(|| async { Ok::<_, std::fmt::Error>(7) }, |loaded: u64| Some(loaded.into()));
    assert!(size_of_val(&cache.ask(&7, job, false)) <= 1024);
}
