//! The cache on memory, on a real Redis, and on one that fails.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod faults;
mod memory;
mod redis;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tramline_cache::{Cache, CacheConfig, Key, Policy, Tag};

/// A cache on Redis whose feed runs.
pub(crate) struct Node {
    pub(crate) cache: Cache,
    _feed: AbortOnDropHandle<()>,
}

impl Node {
    pub(crate) async fn new(url: &str, config: CacheConfig) -> Self {
        let cache = Cache::redis(url, config).unwrap();
        let feed = tokio::spawn({
            let cache = cache.clone();
            async move { cache.run(std::future::pending()).await }
        });
        until(|| cache.stats().attached).await;
        Self { cache, _feed: AbortOnDropHandle::new(feed) }
    }
}

/// Names of the test's own.
pub(crate) fn config() -> CacheConfig {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut config = CacheConfig::default();
    config.prefix = format!("test:{}:{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    config.max_pause = Duration::from_millis(200);
    config
}

pub(crate) fn key(name: &str) -> Key {
    Key::new("test", &[name]).unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    Tag::new("test", &[name]).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy::new(Duration::from_secs(60))
}

pub(crate) async fn load(cache: &Cache, name: &str, value: &str) -> String {
    let (key, policy, value) = (key(name), policy(), value.to_owned());
    let answer = cache.get_or_load(&key, &policy, move || async move { Ok::<_, ()>(value) });
    timeout(Duration::from_secs(10), answer).await.expect("an answer in time").unwrap()
}

pub(crate) async fn until(reached: impl Fn() -> bool) {
    let waited = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(15), waited).await.expect("reached in time");
}

pub(crate) async fn until_loaded(cache: &Cache, name: &str, value: &str) {
    let waited = async {
        while load(cache, name, value).await != value {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(15), waited).await.expect("loaded in time");
}

/// A loader that counts.
pub(crate) fn counted(
    loads: &Arc<AtomicUsize>,
) -> impl FnOnce() -> std::future::Ready<Result<usize, ()>> + use<> {
    let loads = loads.clone();
    move || std::future::ready(Ok(loads.fetch_add(1, Ordering::SeqCst) + 1))
}
