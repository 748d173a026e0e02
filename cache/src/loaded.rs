//! What a load answers.

use std::time::Duration;

use crate::key::Tag;

/// A value and how to keep it, where that depends on the value. A value alone is kept as the policy says.
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    pub(crate) value: V,
    pub(crate) ttl: Option<Duration>,
    pub(crate) stale_for: Option<Duration>,
    pub(crate) tags: Vec<Tag>,
}

// === impl Loaded ===

impl<V> Loaded<V> {
    /// A value that is kept as the policy says.
    #[must_use]
    pub fn new(value: V) -> Self {
        Self { value, ttl: None, stale_for: None, tags: Vec::new() }
    }

    /// A value that is answered to who waits for it, and not kept. What was kept before ends: the load said something else.
    /// To keep that, and to answer it where the policy lets something old be answered, let the load fail.
    #[must_use]
    pub fn not_kept(value: V) -> Self {
        Self { ttl: Some(Duration::ZERO), ..Self::new(value) }
    }

    /// With another life than the policy's, shorter or longer, and no longer than
    /// [`StoreConfig::max_ttl`](crate::StoreConfig::max_ttl). Zero: as [`not_kept`](Self::not_kept).
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Answered for no longer than this after its life, though the policy's
    /// [`stale_for`](crate::Policy::stale_for) would allow more. Zero: never.
    #[must_use]
    pub fn with_stale_for(mut self, stale_for: Duration) -> Self {
        self.stale_for = Some(stale_for);
        self
    }

    /// With more tags than the policy's. All together may be [`Policy::MAX_TAGS`](crate::Policy::MAX_TAGS): with more, it is
    /// not kept, since it could not be ended as it should be. That there is nothing has the policy's tags only, and its
    /// `negative_ttl`: a load that finds nothing brings neither.
    ///
    /// The shared tier may not keep a value the first time that its load names a new tag: one that is known before belongs
    /// into the policy.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}
