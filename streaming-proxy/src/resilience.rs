//! What is done about failures.

pub(crate) mod budget;
pub(crate) mod limit;
pub(crate) mod metrics;
pub(crate) mod retry;
pub(crate) mod retry_after;

use std::sync::Arc;

use crate::config::{Priority, UpstreamConfig};
use crate::error::{ErrorKind, ProxyError};
use crate::resilience::budget::Budget;
use crate::resilience::limit::{Limit, Slot};
use crate::resilience::metrics::ResilienceMetrics;

/// What an upstream has learnt and may still spend, whatever its addresses.
#[derive(Debug)]
pub(crate) struct Resilience {
    pub(crate) budget: Budget,
    limit: Option<Arc<Limit>>,
    pub(crate) metrics: Arc<ResilienceMetrics>,
}

// === impl Resilience ===

impl Resilience {
    pub(crate) fn new(config: &UpstreamConfig, metrics: Arc<ResilienceMetrics>) -> Self {
        let limit =
            config.adaptive_limit.then(|| Limit::new(config.max_in_flight.max(1), metrics.limit.clone()));
        Self { budget: Budget::new(&config.retry_budget), limit, metrics }
    }

    pub(crate) fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    /// A slot of the limit, if there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Shed`] when the limit is reached.
    pub(crate) fn admit(&self, priority: Priority) -> Result<Option<Slot>, ProxyError> {
        let Some(limit) = &self.limit else { return Ok(None) };
        let slot = limit.admit(priority);
        if slot.is_none() {
            self.metrics.shed(priority);
            return Err(ProxyError::new(ErrorKind::Shed));
        }
        Ok(slot)
    }
}
