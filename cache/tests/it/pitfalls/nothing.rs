//! That there is nothing, and that a load failed.

use std::time::Duration;

use tramline_cache::{CacheConfig, ErrorKind, Store};

use crate::support::{Nodes, Texts, fail, find, in_tokio_time, key, load, policy, text};

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
