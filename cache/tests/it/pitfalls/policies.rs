//! One key, asked for by different policies.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::sleep;
use tramline_cache::{ErrorKind, Loaded, Refresh, Store, Tag};

use crate::support::{Held, Nodes, Texts, fail, find, in_tokio_time, key, load, policy, text, texts};

const TTL: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_secs(1);

/// Where the answer was kept by another handle: in this process's memory, or in the tier by another process.
async fn places() -> (Nodes, [[Texts; 2]; 2]) {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(TTL))[..] else { unreachable!() };
    let places = [[a.clone(), a.clone()], [a.clone(), b.clone()]];
    (nodes, places)
}

async fn many(cache: &Texts, name: &str, value: &'static str) -> String {
    let load = move |keys: Vec<String>| async move {
        Ok::<_, std::fmt::Error>(
            keys.into_iter().map(|key| (key, value.to_owned())).collect::<HashMap<_, _>>(),
        )
    };
    let found = cache.get_many_or_load(&[key(name)], load).await.unwrap();
    (*found[name]).clone()
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_what_is_older_than_its_policy_says() {
    let (_nodes, places) = places().await;
    for (n, [keeps, asks]) in places.iter().enumerate() {
        let (name, hasty) = (key(n), asks.with_policy(policy(SHORT)).unwrap());
        assert_eq!(load(keeps, &name, "first").await, "first");
        sleep(SHORT / 2).await;
        assert_eq!(load(&hasty, &name, "x").await, "first");
        assert_eq!(many(&hasty, &name, "x").await, "first");
        sleep(SHORT / 2).await;
        assert_eq!(text(keeps.get(&name).await), Some("first"));
        assert_eq!(text(hasty.peek(&name)), None);
        assert_eq!(text(hasty.get(&name).await), None);
        let hits = asks.stats().hits_memory + asks.stats().hits_shared;
        assert_eq!(load(&hasty, &name, "second").await, "second");
        assert_eq!(asks.stats().hits_memory + asks.stats().hits_shared, hits);
        // For the other one it lives no longer than it was kept for.
        sleep(SHORT / 2).await;
        assert_eq!(load(asks, &name, "x").await, "second");
        sleep(SHORT / 2).await;
        assert_eq!(many(&hasty, &name, "third").await, "third");

        // The other way round: what a patient one keeps is not young for the usual one for longer than usual.
        let (name, patient) = (key(n + 2), keeps.with_policy(policy(TTL * 2)).unwrap());
        assert_eq!(load(&patient, &name, "first").await, "first");
        sleep(TTL).await;
        assert_eq!(load(&patient, &name, "x").await, "first");
        assert_eq!(load(asks, &name, "second").await, "second");
    }
}

/// A load that says itself how long its answer lives knows better than any policy.
#[tokio::test(start_paused = true)]
async fn a_life_of_an_answers_own_is_for_all() {
    let (_nodes, places) = places().await;
    for (n, [keeps, asks]) in places.iter().enumerate() {
        let (name, hasty) = (key(n), asks.with_policy(policy(SHORT)).unwrap());
        let long = || async { Ok::<_, std::fmt::Error>(Loaded::new("first".to_owned()).with_ttl(TTL * 2)) };
        keeps.get_or_load(&name, long).await.unwrap();
        sleep(TTL + SHORT).await;
        for cache in [keeps, asks, &hasty] {
            assert_eq!(load(cache, &name, "x").await, "first");
        }
        keeps.set(&name, Loaded::new("set".to_owned()).with_ttl(TTL * 2)).await;
        sleep(TTL + SHORT).await;
        for cache in [keeps, asks, &hasty] {
            assert_eq!(load(cache, &name, "x").await, "set");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_known_for_as_long_as_who_asks_says() {
    let (_nodes, places) = places().await;
    for (n, [keeps, asks]) in places.iter().enumerate() {
        let knowing = |cache: &Texts, life| {
            let mut knowing = policy(TTL);
            knowing.negative_ttl = Some(life);
            cache.with_policy(knowing).unwrap()
        };
        let (name, keeps, hasty) = (key(n), knowing(keeps, TTL), knowing(asks, SHORT));
        assert_eq!(find(&keeps, &name, None).await, None);
        assert_eq!(find(&hasty, &name, Some("x")).await, None);
        sleep(SHORT).await;
        assert_eq!(find(&keeps, &name, Some("x")).await, None);
        assert_eq!(find(&hasty, &name, Some("there")).await.as_deref(), Some("there"));
        // Nor is it an answer that is old: it is asked for, and the failure told.
        let mut lenient = policy(TTL);
        (lenient.stale_for, lenient.soft_timeout) = (Some(TTL), Some(Duration::ZERO));
        let lenient = asks.with_policy(lenient).unwrap();
        let name = key(n + 4);
        assert_eq!(find(&keeps, &name, None).await, None);
        assert!(fail(&lenient, &name).await.is_err());
        assert_eq!(find(&lenient, &name, Some("there")).await.as_deref(), Some("there"));
        // For one who does not keep that at all it is not known.
        let name = key(n + 2);
        assert_eq!(find(&keeps, &name, None).await, None);
        assert_eq!(find(asks, &name, Some("there")).await.as_deref(), Some("there"));
    }
}

/// A policy's tag says what ends its answers. What does not carry it is no answer.
#[tokio::test(start_paused = true)]
async fn what_lacks_a_tag_of_who_asks_is_loaded() {
    let (nodes, places) = places().await;
    for (n, [keeps, asks]) in places.iter().enumerate() {
        let (name, mut tagged) = (key(n), policy(TTL));
        tagged.tags = vec![Tag::new("tag", &name)];
        let tagged = asks.with_policy(tagged).unwrap();
        assert_eq!(load(keeps, &name, "without").await, "without");
        assert_eq!(text(tagged.peek(&name)), None);
        assert_eq!(text(tagged.get(&name).await), None);
        assert_eq!(load(&tagged, &name, "with").await, "with");
        // More than it asks for is enough for the other.
        assert_eq!(load(keeps, &name, "x").await, if n == 0 { "with" } else { "without" });
        nodes.stores[0].invalidate_tag(&Tag::new("tag", &name)).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(load(&tagged, &name, "again").await, "again");
        assert_eq!(many(&tagged, &name, "x").await, "again");
        // Nor is it when the load failed, or is asked for with others.
        let name = key(n + 2);
        let mut lenient = policy(SHORT);
        lenient.stale_for = Some(TTL);
        assert_eq!(load(&keeps.with_policy(lenient.clone()).unwrap(), &name, "without").await, "without");
        sleep(SHORT).await;
        lenient.tags = vec![Tag::new("tag", &name)];
        let lenient = asks.with_policy(lenient).unwrap();
        assert!(fail(&lenient, &name).await.is_err());
        assert_eq!(many(&lenient, &name, "with").await, "with");
    }
}

/// Of two releases the newer one has a tag that the older one's values lack: they are no answer for it when its load fails.
#[tokio::test(start_paused = true)]
async fn a_tag_of_a_newer_release_ends_what_an_older_one_kept() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut newer = policy(TTL);
    newer.tags = vec![Tag::of("new")];
    newer.stale_for = Some(TTL);
    let [older, newer] = [(0, policy(TTL)), (1, newer)].map(|(n, policy)| texts(&nodes.stores[n], &policy));
    assert_eq!(load(&older, "one", "old").await, "old");
    assert!(fail(&newer, "one").await.is_err());
    assert_eq!(text(newer.peek(&key("one"))), None);
    assert_eq!(load(&newer, "one", "new").await, "new");
}

/// The tags of the cache itself go with every policy.
#[tokio::test(start_paused = true)]
async fn a_policy_has_the_tags_of_the_cache_too() {
    let nodes = Nodes::new(1, |_| {}).await;
    let mut usual = policy(TTL);
    usual.tags = vec![Tag::of("usual")];
    let [a] = &nodes.texts(&usual)[..] else { unreachable!() };
    let bare = a.with_policy(policy(TTL)).unwrap();
    assert_eq!(load(&bare, "one", "first").await, "first");
    assert_eq!(load(a, "one", "x").await, "first");
    nodes.stores[0].invalidate_tag(&Tag::of("usual")).await;
    assert_eq!(load(&bare, "one", "second").await, "second");
    let tags = |many: usize| (0..many).map(|n| Tag::new("tag", &key(n))).collect::<Vec<_>>();
    let with = |tags| {
        let mut more = policy(TTL);
        more.tags = tags;
        a.with_policy(more)
    };
    assert!(with(tags(15)).is_ok());
    assert!(with([tags(15), usual.tags.clone()].concat()).is_ok(), "one is the cache's own");
    assert_eq!(with(tags(16)).unwrap_err().kind(), ErrorKind::Config);
}

/// A load of one that promises less is not waited for.
#[tokio::test(start_paused = true)]
async fn who_asks_for_more_follows_nobody_who_asks_for_less() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&policy(TTL))[..] else { unreachable!() };
    let mut tagged = policy(TTL);
    tagged.tags = vec![Tag::of("tag")];
    let (hasty, tagged) = (a.with_policy(policy(SHORT)).unwrap(), a.with_policy(tagged).unwrap());
    for (n, more) in [&hasty, &tagged].into_iter().enumerate() {
        let name = key(n);
        let held = Held::begin(a, &name).await;
        nodes.stores[0].invalidate_tag(&Tag::of("tag")).await;
        let own = Held::begin(more, &name).await;
        assert_eq!(held.end(Ok("less")).await.unwrap(), "less");
        assert_eq!(own.end(Ok("more")).await.unwrap(), "more");
        // The other way round it is as good as one of its own.
        let name = key(n + 2);
        let held = Held::begin(more, &name).await;
        let asked = tokio::spawn({
            let (a, name) = (a.clone(), name.clone());
            async move { (load(&a, &name, "x").await, many(&a, &name, "x").await) }
        });
        tokio::task::yield_now().await;
        held.end(Ok("more")).await.unwrap();
        assert_eq!(asked.await.unwrap(), ("more".to_owned(), "more".to_owned()));
    }
}

/// That one asks for more than the source gives, which is away, makes the answer no older for the others.
#[tokio::test(start_paused = true)]
async fn a_load_that_fails_for_one_who_asks_for_more_takes_nothing_from_the_others() {
    let (nodes, places) = places().await;
    let alone = Store::memory(in_tokio_time());
    let alone = texts(&alone, &policy(TTL));
    for (n, [keeps, asks]) in places.iter().chain([&[alone.clone(), alone.clone()]]).enumerate() {
        let (name, mut strict) = (key(n), policy(SHORT));
        strict.stale_for = Some(TTL);
        strict.retry_after = SHORT;
        let strict = asks.with_policy(strict).unwrap();
        assert_eq!(load(keeps, &name, "old").await, "old");
        sleep(SHORT * 2).await;
        let failed = asks.stats().load_errors;
        for round in 1..=3 {
            for _ in 0..2 {
                assert_eq!(fail(&strict, &name).await.unwrap(), "old");
                assert_eq!(asks.stats().load_errors - failed, round, "not tried again at once");
                assert_eq!(fail(asks, &name).await.unwrap(), "old");
                assert_eq!(text(asks.peek(&name)), Some("old"));
                assert_eq!(text(asks.get(&name).await), Some("old"));
                assert_eq!(many(asks, &name, "x").await, "old");
            }
            assert_eq!(asks.stats().load_errors - failed, round);
            sleep(SHORT).await;
        }
        // Until its end, and no longer.
        sleep(TTL - SHORT * 6).await;
        assert_eq!(fail(&strict, &name).await.unwrap(), "old");
        sleep(SHORT).await;
        assert_eq!(text(asks.peek(&name)), None);
        assert!(fail(asks, &name).await.is_err());
        assert_eq!(load(asks, &name, "new").await, "new");
    }
    drop(nodes);
}

/// A share of a life is one of the life that it has for who asks.
#[tokio::test(start_paused = true)]
async fn a_refresh_begins_when_the_policy_of_who_asks_says() {
    let (_nodes, places) = places().await;
    for (n, [keeps, asks]) in places.iter().enumerate() {
        let with = |cache: &Texts, ttl, share| {
            let mut eager = policy(ttl);
            eager.refresh = Refresh::At { share };
            cache.with_policy(eager).unwrap()
        };
        let asked = async |cache: &Texts, name: &str| {
            let before = cache.stats().refreshes;
            load(cache, name, "new").await;
            sleep(Duration::from_millis(1)).await;
            cache.stats().refreshes - before
        };
        // Longer than the cache's own.
        let (name, patient) = (key(n), with(keeps, TTL * 6, 0.9));
        assert_eq!(load(&patient, &name, "old").await, "old");
        let patient = with(asks, TTL * 6, 0.9);
        for _ in 0..5 {
            sleep(TTL).await;
            assert_eq!(asked(&patient, &name).await, 0);
        }
        sleep(SHORT * 5).await;
        assert_eq!(asked(&patient, &name).await, 1);
        // Shorter than that of whoever kept it.
        let (name, hasty) = (key(n + 2), with(asks, SHORT * 2, 0.5));
        assert_eq!(load(keeps, &name, "old").await, "old");
        assert_eq!(asked(&hasty, &name).await, 0);
        sleep(SHORT).await;
        assert_eq!(asked(&hasty, &name).await, 1);
    }
}

/// Nor does it when others have kept the answer: the cache's own refresh begins as early as ever, and a refresh of theirs
/// that failed makes nothing young.
#[tokio::test(start_paused = true)]
async fn the_refresh_of_the_cache_itself_is_not_that_of_who_kept_it() {
    let nodes = Nodes::new(1, |_| {}).await;
    let mut usual = policy(TTL);
    usual.refresh = Refresh::At { share: 0.5 };
    let [a] = &nodes.texts(&usual)[..] else { unreachable!() };
    assert_eq!(load(&a.with_policy(policy(TTL * 6)).unwrap(), "one", "old").await, "old");
    sleep(TTL / 2).await;
    assert_eq!(load(a, "one", "new").await, "old");
    sleep(Duration::from_millis(1)).await;
    assert_eq!((a.stats().refreshes, text(a.peek(&key("one")))), (1, Some("new")));

    let mut patient = policy(TTL * 6);
    patient.refresh = Refresh::At { share: 0.5 };
    patient.retry_after = TTL;
    let patient = a.with_policy(patient).unwrap();
    assert_eq!(load(&patient, "two", "old").await, "old");
    sleep(TTL * 4).await;
    assert_eq!(fail(&patient, "two").await.unwrap(), "old");
    sleep(Duration::from_millis(1)).await;
    assert_eq!((a.stats().refreshes, a.stats().load_errors), (2, 1));
    assert_eq!(fail(&patient, "two").await.unwrap(), "old");
    assert_eq!(a.stats().refreshes, 2, "not tried again at once");
    assert_eq!(load(a, "two", "new").await, "new");
}

/// `keeps` has it, and it is old for these two, of whom only the first answers such things.
async fn old_for_both(keeps: &Texts, asks: &Texts, name: &str) -> (Texts, Texts) {
    let mut lenient = policy(TTL);
    lenient.stale_for = Some(TTL * 10);
    let with = |cache: &Texts, policy| cache.with_policy(policy).unwrap();
    assert_eq!(load(&with(keeps, lenient.clone()), name, "old").await, "old");
    sleep(TTL).await;
    (with(asks, lenient), with(asks, policy(TTL)))
}

/// What one who follows gets goes by its own policy, when the load fails.
#[tokio::test(start_paused = true)]
async fn who_follows_one_who_answers_what_is_old_does_not() {
    let (_nodes, places) = places().await;
    for (n, [keeps, asks]) in places.iter().enumerate() {
        for several in [false, true] {
            let name = format!("{n} {several}");
            let (lenient, strict) = old_for_both(keeps, asks, &name).await;
            let held = Held::begin(&lenient, &name).await;
            let [follows, fails, other] = [0; 3].map(|_| strict.clone());
            let asked = tokio::spawn(async move {
                let own = async {
                    if several {
                        many(&follows, &name, "own").await
                    } else {
                        load(&follows, &name, "own").await
                    }
                };
                let fails = async { if several { Ok("own".to_owned()) } else { fail(&fails, &name).await } };
                // It has used its load for the other key.
                let [one, two] = [key(&name), format!("{name} two")];
                let load = move |keys: Vec<String>| async move {
                    let each = |key: String| (key, "two".to_owned());
                    Ok::<_, std::fmt::Error>(keys.into_iter().map(each).collect::<HashMap<_, _>>())
                };
                let both = async { other.get_many_or_load(&[one, two], load).await };
                tokio::join!(biased; own, fails, both)
            });
            sleep(Duration::from_millis(1)).await;
            assert_eq!(held.end(Err(std::fmt::Error)).await.unwrap(), "old");
            let (own, fails, both) = asked.await.unwrap();
            assert_eq!(own, "own");
            assert!(fails.is_ok_and(|value| value == "own"), "it follows the one that asked again");
            assert_eq!(both.unwrap_err().kind(), ErrorKind::Load);
        }
        // Nor when its own load fails.
        let name = key(n);
        let (lenient, strict) = old_for_both(keeps, asks, &name).await;
        let held = Held::begin(&lenient, &name).await;
        let asked = tokio::spawn({
            let name = name.clone();
            async move { fail(&strict, &name).await }
        });
        sleep(Duration::from_millis(1)).await;
        assert_eq!(held.end(Err(std::fmt::Error)).await.unwrap(), "old");
        assert!(asked.await.unwrap().is_err());
        assert_eq!(fail(&lenient, &name).await.unwrap(), "old", "for whom it is an answer it still is");
    }
}

/// Nor does the failure of one who answers nothing old take it from those who do: here, or in another process.
#[tokio::test(start_paused = true)]
async fn who_follows_one_who_answers_nothing_old_does() {
    let (mut nodes, places) = places().await;
    nodes.join(|_| {}).await;
    let third = texts(&nodes.stores[2], &policy(TTL));
    for (n, [keeps, asks]) in places.iter().enumerate() {
        let name = key(n);
        let (lenient, strict) = old_for_both(keeps, asks, &name).await;
        let held = Held::begin(&strict, &name).await;
        let loads = asks.stats().loads;
        let follows = [(); 2].map(|()| {
            let (lenient, name) = (lenient.clone(), name.clone());
            tokio::spawn(async move { fail(&lenient, &name).await })
        });
        let several = tokio::spawn({
            let (lenient, name) = (lenient.clone(), name.clone());
            async move { many(&lenient, &name, "new").await }
        });
        sleep(Duration::from_millis(1)).await;
        assert!(held.end(Err(std::fmt::Error)).await.is_err());
        for follows in follows {
            assert_eq!(follows.await.unwrap().unwrap(), "old");
        }
        assert_eq!(several.await.unwrap(), "old");
        assert_eq!(asks.stats().loads, loads);

        // In a third process, of which neither memory nor flights are shared.
        let name = key(n + 2);
        let (lenient, _) = old_for_both(keeps, &third, &name).await;
        let strict = asks.with_policy(policy(TTL)).unwrap();
        let held = Held::begin(&strict, &name).await;
        let follows = tokio::spawn({
            let (lenient, name) = (lenient.clone(), name.clone());
            async move { fail(&lenient, &name).await }
        });
        sleep(Duration::from_millis(1)).await;
        assert!(held.end(Err(std::fmt::Error)).await.is_err());
        assert_eq!(follows.await.unwrap().unwrap(), "old");
    }
}
