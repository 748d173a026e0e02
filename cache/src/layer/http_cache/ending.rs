//! What unsafe requests end.

use tokio::runtime::Handle;

use crate::key::Tag;
use crate::store::Store;

/// Tags that a request may end. Dropped before its answer, they end: nobody knows how far it came.
pub(super) struct Ending {
    store: Store,
    tags: Vec<Tag>,
    /// Whoever drops it may be outside.
    runtime: Option<Handle>,
}

// === impl Ending ===

impl Ending {
    pub(super) fn new(store: Store, tags: Vec<Tag>) -> Self {
        Self { store, tags, runtime: Handle::try_current().ok() }
    }

    /// Ends them, unless the request was refused.
    pub(super) async fn answered(mut self, refused: bool) {
        if !refused {
            self.store.invalidate_tags(&self.tags).await;
        }
        self.tags.clear();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let tags = std::mem::take(&mut self.tags);
        if !tags.is_empty()
            && let Some(runtime) = &self.runtime
        {
            let store = self.store.clone();
            let work = async move { store.invalidate_tags(&tags).await };
            self.store.0.tasks().spawn_on(work, runtime);
        }
    }
}
