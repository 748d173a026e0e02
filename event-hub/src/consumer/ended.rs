//! How deliveries end.

use crate::consumer::Consumer;
use crate::message::Delivery;

/// How one delivery ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub, reason = "the harness shows it"))]
pub enum Ended {
    /// Handled.
    Acked,
    /// Given up, and moved to the dead letters.
    DeadLettered,
    /// Given up, in a feed.
    Dropped,
    /// Held back while its consumer paused, and sent once round through the delay queues.
    Postponed,
    /// Failed, and to be tried again.
    Retried,
    /// Given back.
    Returned,
}

// === impl Consumer ===

impl<P> Consumer<P> {
    /// Counts how a delivery ended, and tells a test's harness, where there is one. `why` is of a failure.
    ///
    /// ORDER: what is moved is told when its copy is confirmed; until then it has not ended.
    pub(crate) fn ended(&self, delivery: &Delivery, attempt: u32, how: Ended, why: Option<&str>) {
        let counter = match how {
            Ended::Acked => &self.metrics.acked,
            Ended::DeadLettered => &self.metrics.dead,
            Ended::Dropped => &self.metrics.dropped,
            Ended::Postponed => &self.metrics.postponed,
            Ended::Retried => &self.metrics.retried,
            Ended::Returned => &self.metrics.returned,
        };
        counter.increment(1);
        #[cfg(feature = "test-support")]
        if let Some(record) = &self.hub.record {
            record.end(delivery, attempt, how, why);
        }
        #[cfg(not(feature = "test-support"))]
        let _ = (delivery, attempt, why);
    }
}
