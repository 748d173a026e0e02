//! How things stood before a load.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::cache::Inner;
use crate::cache::seal::Marks;
use crate::epochs::TagStamps;
use crate::key::CacheKey;
use crate::mark::Mark;

/// How things stood before the load: what it brings may be as old as that.
pub(super) struct Before {
    pub(super) at: Instant,
    pub(super) moment: u64,
    /// The newest that was heard of the others, if anything is.
    pub(super) heard: Option<Mark>,
    /// What the policy's names stood at in the tier, if it is to be written there.
    pub(super) marks: Option<Marks>,
}

impl Before {
    /// Now. The marks are asked for only when they are to be written.
    pub(super) async fn new<K, V>(inner: &Inner<K, V>, tags: Option<&Arc<TagStamps>>, writes: bool) -> Self
    where
        K: CacheKey,
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let mut before = Self {
            at: Instant::now(),
            moment: inner.tags().moment(),
            heard: inner.store.attachment().map(|_| inner.store.heard()),
            marks: None,
        };
        if writes {
            before.marks = inner.marks(tags).await;
        }
        before
    }
}
