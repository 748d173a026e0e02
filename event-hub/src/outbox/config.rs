//! Settings of a relay.

use std::time::Duration;

/// How a relay sends.
///
/// No count and no pause can be nothing: 0 counts as 1, intervals and the relay's own pauses as 10 ms at least, an
/// event's pauses and the statement's limit as 1 ms.
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
    /// How often relays that share an outbox look what each of them has.
    ///
    /// The default, 1 s, is how long the partitions of a relay that died wait for their next one; a relay that
    /// comes or goes in order tells the others at once. A look reads the server's table of locks.
    pub share_interval: Duration,
    /// Parks an event once the hub has refused it (returned, nacked) so many times.
    ///
    /// The default is never: an event that nobody wants today is wanted once its queue is bound, and a parked
    /// one is sent by nobody until someone resumes it. Set it where one event that cannot be routed must not
    /// hold up the later ones of its key, and watch what is parked. What the hub could not answer, being away,
    /// does not count.
    pub park_after: Option<u32>,
    /// Parks an event once the hub has refused it for so long, counted from its first refusal. Default never,
    /// as above. With both set, what comes first counts.
    pub park_after_age: Option<Duration>,
    /// The alarm is on from so many waiting rows until they are half as many.
    ///
    /// The default, 10,000, is more than a burst and less than what a minute without a broker piles up in a
    /// busy service.
    pub alarm_rows: Option<u64>,
    /// The alarm is on from this age of the oldest waiting row until it is half of it.
    ///
    /// The default, one minute, is twice the longest pause of one event: whatever is older waits for more than
    /// its next try.
    pub alarm_age: Option<Duration>,
    /// Keeps sent rows for so long, to look at (state 3, with the time of sending).
    ///
    /// Default off: a row that is sent is of no use to the outbox. They are removed a thousand at a time.
    pub keep_sent: Option<Duration>,
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
            share_interval: Duration::from_secs(1),
            park_after: None,
            park_after_age: None,
            alarm_rows: Some(10_000),
            alarm_age: Some(Duration::from_secs(60)),
            keep_sent: None,
        }
    }
}

impl RelayConfig {
    /// These settings, without those that would send nothing, or turn without a rest.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn checked(mut self) -> Self {
        let mut raised = Vec::new();
        for (name, count) in [("window", &mut self.window), ("max_unsettled", &mut self.max_unsettled)] {
            if *count == 0 {
                *count = 1;
                raised.push(name);
            }
        }
        let pauses = [
            ("poll_interval", &mut self.poll_interval, REST),
            ("max_pause", &mut self.max_pause, REST),
            ("gauge_interval", &mut self.gauge_interval, REST),
            ("share_interval", &mut self.share_interval, REST),
            ("first_delay", &mut self.first_delay, SHORTEST),
            ("max_delay", &mut self.max_delay, SHORTEST),
            ("store_timeout", &mut self.store_timeout, SHORTEST),
        ];
        for (name, pause, shortest) in pauses {
            if *pause < shortest {
                *pause = shortest;
                raised.push(name);
            }
        }
        if !raised.is_empty() {
            tracing::warn!(
                outbox = self.name,
                settings = raised.join(", "),
                "a relay's settings were too low: raised"
            );
        }
        self
    }

    /// The pause after the `n`-th failure in a row, from 1.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn delay(&self, n: u32, max: Duration) -> Duration {
        // Past 20 doublings any first delay is over any maximum in use.
        let bound = self.first_delay.saturating_mul(1 << n.saturating_sub(1).min(20)).min(max);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// Shorter than anyone waits, and far longer than a look costs.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const REST: Duration = Duration::from_millis(10);

/// What a timer can keep.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(all(test, any(feature = "postgres", feature = "sqlite")))]
mod tests;
