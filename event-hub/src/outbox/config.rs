//! Settings of a relay.

use std::time::Duration;

/// How a relay sends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayConfig {
    /// The value of the metrics' label `outbox`, for processes with several. Default `outbox`.
    pub name: String,
    /// How many events may wait for their confirm at once.
    ///
    /// The default, 256, is past the point where a broker's throughput stops growing fast (about 200).
    pub window: usize,
    /// How many confirmed events may wait to be settled (memory hub) before the relay waits.
    ///
    /// The default, 100,000, is some twenty megabytes.
    pub max_unsettled: usize,
    /// How often to look without being woken.
    ///
    /// The default, 500 ms, bounds the delay when a wake-up is lost; an empty look costs one index probe.
    pub poll_interval: Duration,
    /// The bound of a failed event's first pause; each is drawn between half its bound and its bound.
    /// Default 200 ms: the queue is often declared a moment later.
    pub first_delay: Duration,
    /// The bound that the pauses of one event double up to.
    ///
    /// The default, 30 s, is how late an event may be after its queue was bound.
    pub max_delay: Duration,
    /// The bound that the relay's own pauses double up to, while hub or database are away.
    /// Default 5 s: what is back is found soon.
    pub max_pause: Duration,
    /// How long one statement may take before the connection counts as dead. Default 10 s.
    pub store_timeout: Duration,
    /// How long to wait at shutdown for the confirms that are out.
    ///
    /// Default 5 s; what is not confirmed by then is sent again at the next start.
    pub drain_timeout: Duration,
    /// How often depth and age are counted. Default 5 s: the count reads the whole table.
    pub gauge_interval: Duration,
}

// === impl RelayConfig ===

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            name: "outbox".to_owned(),
            window: 256,
            max_unsettled: 100_000,
            poll_interval: Duration::from_millis(500),
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            max_pause: Duration::from_secs(5),
            store_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
            gauge_interval: Duration::from_secs(5),
        }
    }
}

impl RelayConfig {
    /// The pause after the `n`-th failure in a row, from 1.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn delay(&self, n: u32, max: Duration) -> Duration {
        // Past 20 doublings any first delay is over any maximum in use.
        let bound = self.first_delay.saturating_mul(1 << n.saturating_sub(1).min(20)).min(max);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }
}
