//! What several tests need.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tramline_cache::twin::Twin;
use tramline_cache::{Cache, CacheConfig, Clock, Error, Loaded, Policy, Store, StoreConfig};

use crate::until;

pub(crate) type Texts = Cache<String, String>;

/// Nodes of one system, in paused time. They hear each other as long as this lives.
pub(crate) struct Nodes {
    pub(crate) twin: Twin,
    pub(crate) stores: Vec<Store>,
    runs: Vec<Running>,
}

/// What lets a node hear the others.
pub(crate) struct Running {
    task: AbortOnDropHandle<()>,
    /// While true, nobody asks what it does.
    still: watch::Sender<bool>,
}

/// A number that loads raise.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

// === impl Nodes ===

impl Nodes {
    pub(crate) async fn new(many: usize, config: impl Fn(&mut StoreConfig)) -> Self {
        let mut nodes = Self { twin: Twin::new(), stores: Vec::new(), runs: Vec::new() };
        for _ in 0..many {
            nodes.join(&config).await;
        }
        nodes
    }

    pub(crate) async fn join(&mut self, config: impl Fn(&mut StoreConfig)) {
        let mut settings = in_tokio_time();
        config(&mut settings);
        let store = Store::twin(&self.twin, settings);
        self.runs.push(Running::new(store.clone()));
        until(|| store.stats().attached).await;
        self.stores.push(store);
    }

    /// Ends what lets a node hear the others, without its word.
    pub(crate) async fn stop(&self, node: usize) {
        let task = &self.runs[node].task;
        task.abort();
        until(|| task.is_finished()).await;
    }

    /// What lets a node hear the others stands still, or goes on, as it does in a process that is stopped. Only that:
    /// others are already asking when such a process goes on.
    pub(crate) fn stand(&self, node: usize, still: bool) {
        self.runs[node].stand(still);
    }

    /// One cache on all of them.
    pub(crate) fn texts(&self, policy: &Policy) -> Vec<Texts> {
        self.stores.iter().map(|store| texts(store, policy)).collect()
    }
}

// === impl Running ===

impl Running {
    pub(crate) fn new(store: Store) -> Self {
        let still = watch::Sender::new(false);
        let mut stands = still.subscribe();
        let task = tokio::spawn(async move {
            let mut run = std::pin::pin!(store.run(std::future::pending()));
            loop {
                tokio::select! {
                    biased;
                    // It is not dropped: that would be noticed.
                    true = becomes(&mut stands, true) => drop(becomes(&mut stands, false).await),
                    () = &mut run => return,
                }
            }
        });
        Self { task: AbortOnDropHandle::new(task), still }
    }

    pub(crate) fn stand(&self, still: bool) {
        self.still.send_replace(still);
    }
}

/// False when nobody can say any more.
async fn becomes(stands: &mut watch::Receiver<bool>, still: bool) -> bool {
    stands.wait_for(|stands| *stands == still).await.is_ok()
}

// === impl Count ===

impl Count {
    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) fn in_tokio_time() -> StoreConfig {
    let mut config = StoreConfig::default();
    config.clock = Clock::tokio();
    config
}

/// Without jitter.
pub(crate) fn policy(ttl: Duration) -> Policy {
    let mut policy = Policy::new(ttl);
    policy.jitter = 0.0;
    policy
}

pub(crate) fn texts(store: &Store, policy: &Policy) -> Texts {
    let mut config = CacheConfig::new("texts");
    config.policy = policy.clone();
    store.cache(config).unwrap()
}

#[allow(clippy::needless_pass_by_value, reason = "names are numbers and literals")]
pub(crate) fn key(name: impl ToString) -> String {
    name.to_string()
}

pub(crate) async fn load(cache: &Texts, name: &str, value: &'static str) -> String {
    let load = move || async move { Ok::<_, std::fmt::Error>(Loaded::new(value.to_owned())) };
    (*cache.get_or_load(&key(name), load).await.unwrap()).clone()
}

pub(crate) async fn fail(cache: &Texts, name: &str) -> Result<String, Error> {
    let load = move || async move { Err::<String, _>(std::fmt::Error) };
    cache.get_or_load(&key(name), load).await.map(|value| (*value).clone())
}

/// Whether there is something is looked for: not for `None`.
pub(crate) async fn find(cache: &Texts, name: &str, value: Option<&'static str>) -> Option<String> {
    let load = move || async move { Ok::<_, std::fmt::Error>(value.map(str::to_owned)) };
    cache.get_or_find(&key(name), load).await.unwrap().map(|value| (*value).clone())
}

/// A text that was found, to compare it.
pub(crate) fn text(found: Option<Arc<String>>) -> Option<&'static str> {
    // The texts of tests are few.
    found.map(|found| &*String::leak((*found).clone()))
}

pub(crate) async fn until_async(reached: impl AsyncFn() -> bool) {
    let waited = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited).await.expect("reached in time");
}

/// A load that ends when it is told to.
pub(crate) struct Held {
    answer: JoinHandle<Result<String, Error>>,
    go: oneshot::Sender<Result<&'static str, std::fmt::Error>>,
}

// === impl Held ===

impl Held {
    /// Begins, and waits until the load runs.
    pub(crate) async fn begin(cache: &Texts, name: &str) -> Self {
        let (go, wait) = oneshot::channel();
        let (begun, begins) = oneshot::channel();
        let answer = tokio::spawn({
            let (cache, name) = (cache.clone(), key(name));
            async move {
                let load = move || async move {
                    let _ = begun.send(());
                    wait.await.unwrap_or(Err(std::fmt::Error)).map(str::to_owned)
                };
                cache.get_or_load(&name, load).await.map(|value| (*value).clone())
            }
        });
        begins.await.expect("the load begins");
        Self { answer, go }
    }

    pub(crate) async fn end(self, with: Result<&'static str, std::fmt::Error>) -> Result<String, Error> {
        // It may have been given up.
        let _ = self.go.send(with);
        self.answer.await.expect("no panic")
    }
}
