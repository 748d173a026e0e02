//! What is said of loads whose failure no caller is told.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tramline_cache::{CacheConfig, Refresh, Store};

use crate::support::{Held, Nodes, Texts, in_tokio_time, key, load, policy, texts};
use crate::warnings::Warnings;

const OLD: &str = "the load failed; what is old is answered";
const NOBODY: &str = "the load failed, and nobody waits for it";

/// As most errors of applications are: what was done, and behind it why that failed.
async fn fails() -> anyhow::Result<String> {
    Err(anyhow!("no route to the host")).context("the query of the text")
}

async fn fails_many(_: Vec<String>) -> anyhow::Result<HashMap<String, String>> {
    fails().await.map(|_| HashMap::new())
}

fn line(said: &str, cache: &str, left_out: usize) -> String {
    let why = "the load failed: the query of the text: no route to the host";
    format!("{said} cache={cache:?} error={why} left_out={left_out}")
}

async fn ask(cache: &Texts, name: &str) -> Option<String> {
    cache.get_or_load(&key(name), fails).await.ok().map(|value| (*value).clone())
}

/// A refresh has no caller: the line is the only place where its reason can be found.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_says_why() {
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let mut due = policy(Duration::from_secs(60));
    due.refresh = Refresh::At { share: 0.5 };
    let cache = texts(&Store::memory(in_tokio_time()), &due);
    load(&cache, "one", "x").await;
    sleep(Duration::from_secs(40)).await;
    assert_eq!(ask(&cache, "one").await.unwrap(), "x");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(warnings.take(), [line(OLD, "texts", 0)]);
}

/// A source that is away fails for each key, again and again. Each cache has lines of its own.
#[tokio::test(start_paused = true)]
async fn many_failures_are_one_line_a_second() {
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let mut kept = policy(Duration::from_secs(60));
    kept.stale_for = Some(Duration::from_secs(3_600));
    let store = Store::memory(in_tokio_time());
    let mut config = CacheConfig::new("others");
    config.policy = kept.clone();
    let (cache, others): (Texts, Texts) = (texts(&store, &kept), store.cache(config).unwrap());
    join_all((0..100).map(async |n| load(&cache, &key(n), "x").await)).await;
    load(&others, "one", "x").await;
    sleep(Duration::from_secs(100)).await;
    let all = async || join_all((0..100).map(async |n| ask(&cache, &key(n)).await)).await;
    assert!(all().await.iter().all(Option::is_some));
    assert_eq!(warnings.take(), [line(OLD, "texts", 0)]);
    ask(&others, "one").await.unwrap();
    assert_eq!(warnings.take(), [line(OLD, "others", 0)]);
    sleep(kept.retry_after).await;
    all().await;
    assert_eq!(warnings.take(), [line(OLD, "texts", 99)]);
    sleep(kept.retry_after).await;
    ask(&cache, "0").await.unwrap();
    assert_eq!(warnings.take(), [line(OLD, "texts", 99)]);
    sleep(kept.retry_after).await;
    ask(&cache, "0").await.unwrap();
    assert_eq!(warnings.take(), [line(OLD, "texts", 0)]);
    // One load of many keys is one failure.
    sleep(kept.retry_after).await;
    let keys: Vec<_> = (0..10).map(key).collect();
    assert_eq!(cache.get_many_or_load(&keys, fails_many).await.unwrap().len(), 10);
    sleep(kept.retry_after).await;
    ask(&cache, "0").await.unwrap();
    assert_eq!(warnings.take(), [line(OLD, "texts", 0), line(OLD, "texts", 0)]);
}

/// Who waits is told, and says himself what he thinks of it. What is left behind by who went away is told nobody.
#[tokio::test(start_paused = true)]
async fn a_load_that_nobody_waits_for_says_why() {
    let warnings = Warnings::default();
    let _listening = warnings.listen();
    let nodes = Nodes::new(1, |_| {}).await;
    for store in [&Store::memory(in_tokio_time()), &nodes.stores[0]] {
        let cache = texts(store, &policy(Duration::from_secs(60)));
        assert_eq!(ask(&cache, "one").await, None);
        assert!(cache.get_many_or_load(&[key("many")], fails_many).await.is_err());
        let held = Held::begin(&cache, "two").await;
        held.end(Err(std::fmt::Error)).await.unwrap_err();
        assert_eq!(warnings.take(), [""; 0]);

        let slow = || async {
            sleep(Duration::from_secs(5)).await;
            fails().await
        };
        let slow_many = move |keys| async move {
            slow().await?;
            fails_many(keys).await
        };
        let left = Duration::from_secs(1);
        timeout(left, cache.get_or_load(&key("three"), slow)).await.unwrap_err();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(warnings.take(), [line(NOBODY, "texts", 0)]);
        timeout(left, cache.get_many_or_load(&[key("four"), key("five")], slow_many)).await.unwrap_err();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(warnings.take(), [line(NOBODY, "texts", 0)]);
    }
}
