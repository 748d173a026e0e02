//! What is counted of it, by upstream.

use std::fmt;

use metrics::{Counter, Gauge, counter, gauge};

use crate::config::Priority;
use crate::resilience::retry::Again;
use crate::upstream::resolve::LookUps;

/// The handles of one upstream, looked up once.
pub(crate) struct ResilienceMetrics {
    /// On a new connection, after a kept one was closed.
    pub(crate) retried_kept: Counter,
    retried_unsent: Counter,
    retried_closed: Counter,
    retried_status: Counter,
    pub(crate) retries_denied: Counter,
    pub(crate) avoided: Counter,
    /// Addresses that are passed over now.
    pub(crate) out: Gauge,
    /// How many requests the upstream is given at once; zero without such a limit.
    pub(crate) limit: Gauge,
    shed_normal: Counter,
    shed_high: Counter,
    shed_critical: Counter,
    pub(crate) look_ups: LookUps,
    checks_good: Counter,
    checks_failed: Counter,
}

// === impl ResilienceMetrics ===

impl ResilienceMetrics {
    pub(crate) fn new(upstream: &str) -> Self {
        let label = || upstream.to_owned();
        let retries = |reason: &'static str| counter!("streaming_proxy.retries", "upstream" => label(), "reason" => reason);
        let checks = |result: &'static str| counter!("streaming_proxy.checks", "upstream" => label(), "result" => result);
        let look_ups = |result: &'static str| counter!("streaming_proxy.look_ups", "upstream" => label(), "result" => result);
        let shed = |priority: &'static str| counter!("streaming_proxy.shed", "upstream" => label(), "priority" => priority);
        Self {
            retried_kept: retries("kept"),
            retried_unsent: retries("unsent"),
            retried_closed: retries("closed"),
            retried_status: retries("status"),
            retries_denied: counter!("streaming_proxy.retries.denied", "upstream" => label()),
            avoided: counter!("streaming_proxy.addresses.avoided", "upstream" => label()),
            out: gauge!("streaming_proxy.addresses.out", "upstream" => label()),
            limit: gauge!("streaming_proxy.limit", "upstream" => label()),
            shed_normal: shed("normal"),
            shed_high: shed("high"),
            shed_critical: shed("critical"),
            look_ups: LookUps { good: look_ups("ok"), failed: look_ups("failed") },
            checks_good: checks("ok"),
            checks_failed: checks("failed"),
        }
    }

    pub(crate) fn shed(&self, priority: Priority) {
        match priority {
            Priority::Normal => &self.shed_normal,
            Priority::High => &self.shed_high,
            Priority::Critical => &self.shed_critical,
        }
        .increment(1);
    }

    pub(crate) fn checked(&self, good: bool) {
        if good { &self.checks_good } else { &self.checks_failed }.increment(1);
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
