//! The cache in memory alone.

use tramline_cache::conformance::{self, Nodes};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::check(|| async {
        let cache = Cache::memory(config());
        Nodes::new(cache.clone(), cache)
    })
    .await;
}

#[tokio::test]
async fn weight_is_bounded() {
    let mut small = config();
    small.max_weight = 200 * 1024;
    let cache = Cache::memory(small);
    let value = "x".repeat(1000);
    for n in 0..2_000 {
        load(&cache, &n.to_string(), &value).await;
        assert!(cache.stats().weight <= 200 * 1024);
    }
    let stats = cache.stats();
    assert!(stats.entries > 50 && stats.entries < 200, "{stats:?}");
}

#[tokio::test]
async fn loads_are_bounded_and_the_rest_wait() {
    let mut one = config();
    one.max_loads = 1;
    let cache = Cache::memory(one);
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let first = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = move || async move {
                let _ = wait.await;
                Ok::<_, ()>(1)
            };
            cache.get_or_load(&key("one"), &policy(), load).await
        }
    });
    until(|| cache.stats().loads == 1).await;
    let second = tokio::spawn({
        let cache = cache.clone();
        async move { load(&cache, "two", "second").await }
    });
    tokio::task::yield_now().await;
    assert_eq!((cache.stats().loads, cache.stats().loading), (1, 1));
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap(), Ok(1));
    assert_eq!(second.await.unwrap(), "second");
}

/// A load that hangs holds up nobody for longer than its limit, and is not kept when it ends after all.
#[tokio::test(start_paused = true)]
async fn an_overdue_load_makes_way() {
    let cache = Cache::memory(config());
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let hanging = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = move || async move {
                let _ = wait.await;
                Ok::<_, ()>("late".to_owned())
            };
            cache.get_or_load(&key("one"), &policy(), load).await
        }
    });
    until(|| cache.stats().loads == 1).await;
    // Paused time: it passes as soon as everyone waits.
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(load(&cache, "one", "next").await, "next");
    go.send(()).unwrap();
    assert_eq!(hanging.await.unwrap().as_deref(), Ok("late"));
    assert_eq!(load(&cache, "one", "other").await, "next");
}

#[tokio::test]
async fn one_key_of_two_types_is_two_answers() {
    let cache = Cache::memory(config());
    assert_eq!(load(&cache, "one", "text").await, "text");
    assert_eq!(cache.get_or_load(&key("one"), &policy(), || async { Ok::<_, ()>(7) }).await, Ok(7));
}
