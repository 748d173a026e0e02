//! Loads within loads, and the places that they hold.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tramline_cache::{Cache, CacheConfig, Error, Refresh, Store};

use crate::support::{Count, Held, Nodes, Texts, in_tokio_time, key, load, policy, text, texts};
use crate::until;

const LONG: Duration = Duration::from_secs(60);

fn with_places(many: usize) -> (Store, Texts) {
    let mut config = in_tokio_time();
    config.max_loads = many;
    let store = Store::memory(config);
    let cache = texts(&store, &policy(LONG));
    (store, cache)
}

async fn many(cache: &Texts, names: &[&str]) -> Result<HashMap<String, String>, Error> {
    let keys: Vec<_> = names.iter().map(key).collect();
    let load = |keys: Vec<String>| async move {
        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key.clone(), key)).collect::<HashMap<_, _>>())
    };
    let found = cache.get_many_or_load(&keys, load).await?;
    Ok(found.into_iter().map(|(key, value)| (key, (*value).clone())).collect())
}

/// The keys joined, with what `cache` has for each.
async fn inside(cache: Texts, keys: Vec<String>) -> Result<String, Error> {
    let mut all = String::new();
    for key in keys {
        let inner = || async { Ok::<_, std::fmt::Error>("inner".to_owned()) };
        all = format!("{all}{key} is {}, ", cache.get_or_load(&key, inner).await?);
    }
    Ok(all)
}

/// Lets everybody go on for as long as nobody waits for time.
async fn pause() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// All places are taken by loads that come to want what another caller has asked for, whose load waits for a place.
#[tokio::test(start_paused = true)]
async fn who_has_a_place_waits_for_nobody_who_wants_one() {
    for (one_is_asked_for, one_is_wanted) in [(true, true), (true, false), (false, true), (false, false)] {
        let (store, cache) = with_places(2);
        let (go, wait) = watch::channel(false);
        let outer = ["x", "y"].map(|name| {
            let (cache, mut wait) = (cache.clone(), wait.clone());
            tokio::spawn(async move {
                let inside = cache.clone();
                let outer = move || async move {
                    let _ = wait.wait_for(|go| *go).await;
                    if one_is_wanted {
                        load(&inside, "wanted", "by the nested one").await;
                    } else {
                        many(&inside, &["wanted", "beside"]).await?;
                    }
                    Ok::<_, Error>(name.to_owned())
                };
                cache.get_or_load(&key(name), outer).await.map(drop)
            })
        });
        until(|| store.stats().loading == 2).await;
        let asked = tokio::spawn({
            let cache = cache.clone();
            async move {
                if one_is_asked_for {
                    load(&cache, "wanted", "x").await;
                } else {
                    many(&cache, &["first", "wanted", "last"]).await.unwrap();
                }
            }
        });
        // It is asked for, and waits for a place.
        pause().await;
        assert_eq!((cache.stats().followers, asked.is_finished()), (0, false));
        let begun = Instant::now();
        go.send_replace(true);
        for outer in outer {
            outer.await.unwrap().unwrap();
        }
        asked.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!((2..=3).contains(&cache.stats().followers));
        assert_eq!((cache.stats().load_errors, store.stats().loading), (0, 0));
    }
}

/// Nobody waits for what is loaded behind the callers' backs, a load that met it neither: it takes a place of its own.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_a_load_began_waits_for_a_place() {
    let (store, cache) = with_places(1);
    let mut early = policy(LONG);
    early.refresh = Refresh::At { share: 0.5 };
    let cache = cache.with_policy(early).unwrap();
    assert_eq!(load(&cache, "due", "first").await, "first");
    tokio::time::advance(LONG / 2).await;
    let refreshed = Count::default();
    let (inside, seen) = (cache.clone(), refreshed.clone());
    let outer = move || async move {
        let refresh = move || async move {
            seen.add();
            Ok::<_, Error>("second".to_owned())
        };
        let due = inside.get_or_load(&key("due"), refresh).await?;
        Ok::<_, Error>((*due).clone())
    };
    let held = Held::begin(&cache, "holds").await;
    // In this order.
    let asked = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_load(&key("outer"), outer).await.unwrap() }
    });
    let holds = tokio::spawn({
        let cache = cache.clone();
        async move { Held::begin(&cache, "holds on").await }
    });
    pause().await;
    held.end(Ok("x")).await.unwrap();
    assert_eq!(*asked.await.unwrap(), "first");
    let holds = holds.await.unwrap();
    pause().await;
    assert_eq!((refreshed.get(), store.stats().loading), (0, 1), "it would be one more than may be");
    holds.end(Ok("x")).await.unwrap();
    until(|| text(cache.peek(&key("due"))) == Some("second")).await;
}

/// Loads within loads go on with the place of the outermost one: with as many places as loads, all would wait for each other.
#[tokio::test(start_paused = true)]
async fn a_load_within_a_load_takes_no_place_of_its_own() {
    let (store, cache) = with_places(1);
    let begun = Instant::now();
    let other = cache.clone();
    let outer = move || inside(other, vec![key("two")]);
    assert_eq!(*cache.get_or_load(&key("one"), outer).await.unwrap(), "two is inner, ");
    // Many within one, and one within many.
    let other = cache.clone();
    let outer = move || async move {
        let many = |keys: Vec<String>| async {
            Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "many".to_owned())).collect())
        };
        other.get_many_or_load(&[key("four"), key("five")], many).await.map(|found| found.len().to_string())
    };
    assert_eq!(*cache.get_or_load(&key("three"), outer).await.unwrap(), "2");
    let other = cache.clone();
    let many = move |keys: Vec<String>| async move {
        let text = inside(other, vec![key("eight")]).await?;
        Ok::<_, Error>(keys.into_iter().map(|key| (key, text.clone())).collect())
    };
    let found = cache.get_many_or_load(&[key("six"), key("seven")], many).await.unwrap();
    assert_eq!(found[&key("seven")].as_str(), "eight is inner, ");
    assert_eq!((begun.elapsed(), store.stats().loading), (Duration::ZERO, 0));
}

/// A load of many that asks for one of its keys would wait for itself.
#[tokio::test(start_paused = true)]
async fn a_load_of_many_may_ask_for_its_own_keys() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let begun = Instant::now();
    let within = a.clone();
    let many = move |keys: Vec<String>| async move {
        let text = inside(within, keys.clone()).await?;
        Ok::<_, Error>(keys.into_iter().map(|key| (key, text.clone())).collect())
    };
    let found = a.get_many_or_load(&[key("one"), key("two")], many).await.unwrap();
    assert_eq!(found[&key("two")].as_str(), "one is inner, two is inner, ");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// The bound is the store's: a load of another store within a load waits for its turn there.
#[tokio::test(start_paused = true)]
async fn a_load_within_a_load_of_another_store_waits_for_a_place_there() {
    let [(_, outer), (_, inner)] = [(); 2].map(|()| with_places(1));
    let held = Held::begin(&inner, "held").await;
    let asked =
        tokio::spawn(
            async move { outer.get_or_load(&key("one"), move || inside(inner, vec![key("two")])).await },
        );
    sleep(Duration::from_secs(1)).await;
    assert!(!asked.is_finished());
    held.end(Ok("held")).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap().as_str(), "two is inner, ");
}

/// Only what is being loaded is loaded without the cache: not the same key of another cache, nor of another store.
#[tokio::test(start_paused = true)]
async fn the_same_key_elsewhere_is_kept_though_it_is_asked_for_within_a_load() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let others: Cache<String, String> = {
        let mut config = CacheConfig::new("others");
        config.policy = policy(LONG);
        nodes.stores[0].cache(config).unwrap()
    };
    let alone = texts(&Store::memory(in_tokio_time()), &policy(LONG));
    for other in [others, alone] {
        a.invalidate(&key("one")).await;
        let within = other.clone();
        let outer = move || inside(within, vec![key("one")]);
        assert_eq!(*a.get_or_load(&key("one"), outer).await.unwrap(), "one is inner, ");
        assert_eq!(text(other.peek(&key("one"))), Some("inner"));
        assert_eq!(load(&other, "one", "again").await, "inner");
    }
}
