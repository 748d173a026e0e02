//! How a consumer ends by itself.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Set once, by the first event that may not be passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Halt {
    why: Arc<OnceLock<String>>,
    token: CancellationToken,
}

// === impl Halt ===

impl Halt {
    pub(super) fn halt(&self, why: &str) {
        // The first is the one to look at.
        let _ = self.why.set(why.to_owned());
        self.token.cancel();
    }

    pub(crate) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }

    /// A look that locks nothing, for each event.
    pub(super) fn is_cancelled(&self) -> bool {
        self.why.get().is_some()
    }

    pub(super) async fn cancelled(&self) {
        self.token.cancelled().await;
    }
}
