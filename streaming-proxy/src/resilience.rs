//! What is done about failures.

pub(crate) mod budget;
pub(crate) mod metrics;
pub(crate) mod retry;
pub(crate) mod retry_after;

use crate::config::UpstreamConfig;
use crate::resilience::budget::Budget;
use crate::resilience::metrics::ResilienceMetrics;

/// What an upstream has learnt and may still spend, whatever its addresses.
#[derive(Debug)]
pub(crate) struct Resilience {
    pub(crate) budget: Budget,
    pub(crate) metrics: ResilienceMetrics,
}

// === impl Resilience ===

impl Resilience {
    pub(crate) fn new(name: &str, config: &UpstreamConfig) -> Self {
        Self { budget: Budget::new(&config.retry_budget), metrics: ResilienceMetrics::new(name) }
    }
}
