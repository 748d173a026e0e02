//! Loads within loads.

use std::future::Future;
use std::sync::Arc;

/// What the current task is loading, one inside the other: caches by their names, keys as they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Loading(Vec<Level>);

/// One of them.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Level {
    store: usize,
    space: Arc<str>,
    key: Arc<str>,
}

tokio::task_local! {
    static LOADING: Loading;
}

// === impl Loading ===

impl Loading {
    pub(super) fn current() -> Self {
        LOADING.try_with(Clone::clone).unwrap_or_default()
    }

    pub(super) fn has(&self, store: usize, space: &str, key: &str) -> bool {
        self.0.iter().any(|level| level.store == store && *level.space == *space && *level.key == *key)
    }

    /// Whether a load of this store asks.
    pub(super) fn is_within(&self, store: usize) -> bool {
        self.0.iter().any(|level| level.store == store)
    }

    pub(super) fn with(mut self, store: usize, space: &Arc<str>, key: &Arc<str>) -> Self {
        self.0.push(Level { store, space: Arc::clone(space), key: Arc::clone(key) });
        self
    }

    pub(super) fn run<F: Future>(self, load: F) -> impl Future<Output = F::Output> + use<F> {
        LOADING.scope(self, load)
    }
}
