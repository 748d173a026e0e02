//! What the checks stand on.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::{Cache, CacheConfig, Error, Loaded, Policy, Store, Tag};

/// Two nodes of one system, empty.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Nodes {
    /// One node.
    pub a: Store,
    /// The other one; in memory alone, the same.
    pub b: Store,
}

/// The caches of a check.
pub(super) struct Pair {
    pub(super) a: Texts,
    pub(super) b: Texts,
    pub(super) stores: Nodes,
}

pub(super) type Texts = Cache<String, String>;

/// How long anything that must happen may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

// === impl Nodes ===

impl Nodes {
    /// Two stores that hear each other.
    #[must_use]
    pub fn new(a: Store, b: Store) -> Self {
        Self { a, b }
    }

    /// One store twice.
    #[must_use]
    pub fn alone(store: Store) -> Self {
        Self { a: store.clone(), b: store }
    }

    pub(super) fn pair(self, policy: &Policy) -> Pair {
        let mut config = CacheConfig::new("conformance");
        config.policy = policy.clone();
        let a: Texts = self.a.cache(config.clone()).expect("a name and a policy");
        let b = self.b.cache(config).unwrap_or_else(|_| a.clone());
        Pair { a, b, stores: self }
    }
}

// === impl Pair ===

impl Pair {
    pub(super) fn both(&self) -> [&Texts; 2] {
        [&self.a, &self.b]
    }

    /// The same caches by another policy.
    pub(super) fn with(&self, policy: &Policy) -> [Texts; 2] {
        self.both().map(|node| node.with_policy(policy.clone()).expect("a policy"))
    }

    pub(super) fn is_alone(&self) -> bool {
        Arc::ptr_eq(&self.stores.a.0, &self.stores.b.0)
    }
}

pub(super) fn policy() -> Policy {
    let mut policy = Policy::new(Duration::from_secs(60));
    policy.jitter = 0.0;
    policy
}

pub(super) fn tag(name: &str) -> Tag {
    Tag::new("conformance", &name.to_owned())
}

pub(super) fn key(name: &str) -> String {
    name.to_owned()
}

/// What `value` or the cache says.
pub(super) async fn load(node: &Texts, name: &str, value: &'static str) -> String {
    try_load(node, name, value).await.expect("no error")
}

pub(super) async fn try_load(node: &Texts, name: &str, value: &'static str) -> Result<String, Error> {
    let name = key(name);
    let load = move || async move { Ok::<_, Error>(Loaded::new(value.to_owned())) };
    let answer = timeout(PATIENCE, node.get_or_load(&name, load)).await;
    answer.expect("an answer in time").map(|value| (*value).clone())
}

pub(super) async fn fail(node: &Texts, name: &str) -> Result<String, Error> {
    let name = key(name);
    let load = move || async move { Err::<String, _>(std::fmt::Error) };
    let answer = timeout(PATIENCE, node.get_or_load(&name, load)).await;
    answer.expect("an answer in time").map(|value| (*value).clone())
}

/// A load that ends when it is told to, or when nobody can tell it any more.
pub(super) struct Held {
    /// What the caller gets.
    pub(super) answer: tokio::task::JoinHandle<Result<String, Error>>,
    go: oneshot::Sender<Result<&'static str, std::fmt::Error>>,
}

impl Held {
    /// Begins, and waits until the load runs.
    pub(super) async fn begin(node: &Texts, name: &str) -> Self {
        let (go, wait) = oneshot::channel();
        let before = node.stats().loads;
        let answer = tokio::spawn({
            let (node, name) = (node.clone(), key(name));
            async move {
                let load =
                    move || async move { wait.await.unwrap_or(Err(std::fmt::Error)).map(str::to_owned) };
                node.get_or_load(&name, load).await.map(|value| (*value).clone())
            }
        });
        until(|| node.stats().loads == before + 1).await;
        Self { answer, go }
    }

    pub(super) async fn end(self, with: Result<&'static str, std::fmt::Error>) -> Result<String, Error> {
        // It may have been given up.
        let _ = self.go.send(with);
        timeout(PATIENCE, self.answer).await.expect("an answer in time").expect("no panic")
    }

    /// Ends the load, whose caller is gone.
    pub(super) async fn end_without_caller(self, with: &'static str) {
        self.answer.abort();
        let _ = self.answer.await;
        let _ = self.go.send(Ok(with));
    }
}

/// What one node ends the other hears a moment later.
pub(super) async fn until_loaded(node: &Texts, name: &str, value: &'static str) {
    until_async(|| async { load(node, name, value).await == value }).await;
}

pub(super) async fn until(reached: impl Fn() -> bool) {
    until_async(|| std::future::ready(reached())).await;
}

pub(super) async fn until_async<F: Future<Output = bool>>(reached: impl Fn() -> F) {
    let waited = async {
        while !reached().await {
            // A millisecond: of paused time, or a probe.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waited).await.expect("reached in time");
}

/// A number that loads raise.
#[derive(Clone, Default)]
pub(super) struct Loads(Arc<AtomicUsize>);

impl Loads {
    pub(super) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
