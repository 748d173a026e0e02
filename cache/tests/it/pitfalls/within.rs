//! Loads within loads, and the places that they hold.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tramline_cache::{Error, Refresh, Store};

use crate::support::{Count, Held, Texts, in_tokio_time, key, load, policy, text, texts};
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
    early.refresh = Refresh::At(0.5);
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
