//! What is counted of it, by upstream.

use std::fmt;

use metrics::{Counter, counter};

use crate::resilience::retry::Again;

/// The handles of one upstream, looked up once.
pub(crate) struct ResilienceMetrics {
    /// On a new connection, after a kept one was closed.
    pub(crate) retried_kept: Counter,
    retried_unsent: Counter,
    retried_closed: Counter,
    retried_status: Counter,
    pub(crate) retries_denied: Counter,
    pub(crate) avoided: Counter,
}

// === impl ResilienceMetrics ===

impl ResilienceMetrics {
    pub(crate) fn new(upstream: &str) -> Self {
        let label = || upstream.to_owned();
        let retries = |reason: &'static str| counter!("streaming_proxy.retries", "upstream" => label(), "reason" => reason);
        Self {
            retried_kept: retries("kept"),
            retried_unsent: retries("unsent"),
            retried_closed: retries("closed"),
            retried_status: retries("status"),
            retries_denied: counter!("streaming_proxy.retries.denied", "upstream" => label()),
            avoided: counter!("streaming_proxy.addresses.avoided", "upstream" => label()),
        }
    }

    pub(crate) fn retried(&self, again: Again) {
        match again {
            Again::Unsent => &self.retried_unsent,
            Again::Closed => &self.retried_closed,
            Again::Status => &self.retried_status,
        }
        .increment(1);
    }
}

impl fmt::Debug for ResilienceMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilienceMetrics").finish_non_exhaustive()
    }
}
