//! That there is nothing, and that a load failed.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::watch;
use tramline_cache::{CacheConfig, Error, ErrorKind, Store};

use crate::support::{Count, Nodes, Texts, fail, find, in_tokio_time, key, load, policy, text, texts};

#[tokio::test(start_paused = true)]
async fn errors_are_never_kept() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    for n in 0..100 {
        let error = fail(a, &key(n)).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Load, "the load failed"));
        assert!(std::error::Error::source(&error).is_some_and(|source| source.is::<std::fmt::Error>()));
        assert_eq!(a.get(&key(n)).await, None);
    }
    assert_eq!((a.stats().entries, a.stats().load_errors), (0, 100));
    assert_eq!(load(b, "7", "well").await, "well");
    assert_eq!(load(a, "7", "other").await, "well");
}

#[tokio::test(start_paused = true)]
async fn nothing_lives_as_long_as_nothing_may() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut negative = policy(Duration::from_secs(60));
    negative.negative_ttl = Some(Duration::from_secs(2));
    negative.stale_for = Some(Duration::from_secs(60));
    let [a, b] = &nodes.texts(&negative)[..] else { unreachable!() };
    assert_eq!(find(a, "one", None).await, None);
    tokio::time::sleep(Duration::from_millis(1_999)).await;
    assert_eq!(find(b, "one", Some("there")).await, None);
    tokio::time::sleep(Duration::from_millis(2)).await;
    // That there is nothing is never answered as something old, also when nobody knows better.
    assert!(fail(a, "one").await.is_err());
    let fails = || async { Err::<Option<String>, _>(std::fmt::Error) };
    for node in [a, b] {
        assert!(node.get_or_find(&key("one"), fails).await.is_err());
    }
    assert_eq!(find(b, "one", Some("there")).await.as_deref(), Some("there"));
    // What is created ends that there was nothing.
    assert_eq!(find(a, "two", None).await, None);
    a.set(&key("two"), "created".to_owned()).await;
    assert_eq!(find(a, "two", None).await.as_deref(), Some("created"));
    assert_eq!(text(b.get(&key("two")).await), Some("created"));
}

/// One for whom nothing is an answer has asked first: who needs a value does not take that for one.
#[tokio::test(start_paused = true)]
async fn who_needs_a_value_loads_it_though_another_found_nothing() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    let finding = tokio::spawn({
        let a = a.clone();
        async move {
            let load = || async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, std::fmt::Error>(None::<String>)
            };
            a.get_or_find(&key("one"), load).await
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(load(a, "one", "made").await, "made");
    assert_eq!(finding.await.unwrap().unwrap(), None);
}

/// Names that do not exist, one after the other: memory stays as small as it was promised.
#[tokio::test(start_paused = true)]
async fn a_flood_of_nothing_is_bounded() {
    let mut config = CacheConfig::new("texts");
    config.policy = policy(Duration::from_secs(60));
    config.policy.negative_ttl = Some(Duration::from_secs(60));
    (config.max_weight, config.max_value) = (100_000, 10_000);
    let cache: Texts = Store::memory(in_tokio_time()).cache(config).unwrap();
    for n in 0..20_000 {
        assert_eq!(find(&cache, &key(n), None).await, None);
    }
    let stats = cache.stats();
    assert!(stats.weight <= 100_000 && stats.weight > 50_000, "{stats:?}");
    assert!(stats.entries <= 500, "{stats:?}");
}

/// How a load ends that ends badly.
#[derive(Clone, Copy, Debug)]
enum Badly {
    Fails,
    Panics,
    Never,
}

impl Badly {
    /// Runs until `go`, and ends so.
    async fn end<T>(self, mut go: watch::Receiver<bool>) -> Result<T, std::fmt::Error> {
        go.wait_for(|go| *go).await.unwrap();
        match self {
            Self::Fails => Err(std::fmt::Error),
            Self::Panics => panic!("on purpose"),
            Self::Never => std::future::pending().await,
        }
    }

    fn is(self, error: &Error) -> bool {
        match self {
            Self::Fails => error.load::<std::fmt::Error>().is_some(),
            Self::Panics => error.kind() == ErrorKind::Panicked,
            Self::Never => error.kind() == ErrorKind::TimedOut,
        }
    }
}

const WAITING: usize = 100;

/// A source that is down is asked once for all who wait, and not by one after the other.
#[tokio::test(start_paused = true)]
async fn one_failure_is_told_to_all_who_waited() {
    let nodes = Nodes::new(2, |_| {}).await;
    let minute = policy(Duration::from_secs(60));
    for cache in [texts(&Store::memory(in_tokio_time()), &minute), texts(&nodes.stores[0], &minute)] {
        for how in [Badly::Fails, Badly::Panics, Badly::Never] {
            let (begin, go) = watch::channel(false);
            let (first, name) = (go.clone(), key("one"));
            let mut first = Box::pin(cache.get_or_load(&name, move || how.end::<String>(first)));
            let before = cache.stats().loads;
            // Until then it reads for itself, and nobody would wait for it.
            while cache.stats().loads == before {
                assert!((&mut first).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
            fails_for_all(&cache, how, &["one"], async {
                begin.send_replace(true);
                first.await.map(drop)
            })
            .await;
        }
    }
}

/// The same where one load is of many keys, and each of them is waited for by others.
#[tokio::test(start_paused = true)]
async fn one_failure_of_many_is_told_to_all_who_waited() {
    let nodes = Nodes::new(1, |_| {}).await;
    let cache = &nodes.texts(&policy(Duration::from_secs(60)))[0];
    for how in [Badly::Fails, Badly::Panics, Badly::Never] {
        let (begin, go) = watch::channel(false);
        let keys = ["one", "two", "three"].map(key);
        let mut first =
            Box::pin(cache.get_many_or_load(&keys, move |_| how.end::<HashMap<String, String>>(go)));
        assert!((&mut first).now_or_never().is_none());
        fails_for_all(cache, how, &["one", "two", "three"], async {
            begin.send_replace(true);
            first.await.map(drop)
        })
        .await;
    }
}

/// Others ask for these keys meanwhile, one by one and as a part of many, and each of them gets the one failure.
async fn fails_for_all(
    cache: &Texts,
    how: Badly,
    names: &[&str],
    first: impl Future<Output = Result<(), Error>>,
) {
    let (own, others) = (Count::default(), Count::default());
    let before = cache.stats();
    let single = join_all((0..WAITING).map(|n| {
        let (own, name) = (own.clone(), key(names[n % names.len()]));
        async move {
            let load = move || async move {
                own.add();
                Ok::<_, std::fmt::Error>("of its own".to_owned())
            };
            cache.get_or_load(&name, load).await.map(drop)
        }
    }));
    let several = join_all((0..WAITING).map(|n| {
        let others = others.clone();
        let keys = [key(names[n % names.len()]), format!("{how:?} {n}")];
        async move {
            let load = move |keys: Vec<String>| async move {
                assert_eq!(keys.len(), 1, "what another loads is not loaded again");
                others.add();
                Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "x".to_owned())).collect())
            };
            cache.get_many_or_load(&keys, load).await.map(drop)
        }
    }));
    let (mut single, mut several) = (Box::pin(single), Box::pin(several));
    // Polled once, so that they wait before it ends.
    assert!((&mut single).now_or_never().is_none() && (&mut several).now_or_never().is_none());
    let (first, single, several) = tokio::join!(first, single, several);
    for answer in std::iter::once(first).chain(single).chain(several) {
        let error = answer.unwrap_err();
        assert!(how.is(&error), "{how:?}: {error:?}");
    }
    assert_eq!((own.get(), others.get()), (0, WAITING));
    let after = cache.stats();
    assert_eq!(after.load_errors - before.load_errors, 1, "{how:?}");
    assert_eq!(after.followers - before.followers, 2 * WAITING as u64);
    for name in names {
        assert_eq!(load(cache, name, "well").await, "well");
        cache.invalidate(&key(name)).await;
    }
}
