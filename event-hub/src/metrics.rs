//! What the hub counts. The names stand here and nowhere else.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::publish::PublishErrorKind;

/// Of publishing.
#[derive(Clone)]
pub(crate) struct PublishMetrics {
    confirmed: Counter,
    returned: Counter,
    nacked: Counter,
    timeout: Counter,
    unknown: Counter,
    closed: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) in_flight: Gauge,
}

/// Of one consumer.
#[derive(Clone)]
pub(crate) struct ConsumerMetrics {
    pub(crate) acked: Counter,
    pub(crate) retried: Counter,
    pub(crate) dead: Counter,
    pub(crate) returned: Counter,
    pub(crate) dropped: Counter,
    pub(crate) redelivered: Counter,
    /// How long handlers take.
    pub(crate) seconds: Histogram,
    /// From the event's time to its handler's start.
    pub(crate) lag: Histogram,
    pub(crate) in_flight: Gauge,
}

// === impl PublishMetrics ===

impl PublishMetrics {
    pub(crate) fn new() -> Self {
        let result = |result: &'static str| counter!("event_hub.published", "result" => result);
        Self {
            confirmed: result("confirmed"),
            returned: result("returned"),
            nacked: result("nacked"),
            timeout: result("timeout"),
            unknown: result("unknown"),
            closed: result("closed"),
            seconds: histogram!("event_hub.publish.duration"),
            in_flight: gauge!("event_hub.publish.in_flight"),
        }
    }

    pub(crate) fn count<T>(&self, result: &Result<T, PublishErrorKind>) {
        match result {
            Ok(_) => self.confirmed.increment(1),
            Err(PublishErrorKind::Closed) => self.closed.increment(1),
            Err(PublishErrorKind::Nacked) => self.nacked.increment(1),
            Err(PublishErrorKind::Returned { .. }) => self.returned.increment(1),
            Err(PublishErrorKind::Timeout) => self.timeout.increment(1),
            Err(PublishErrorKind::Unknown) => self.unknown.increment(1),
        }
    }
}

impl std::fmt::Debug for PublishMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublishMetrics")
    }
}

// === impl ConsumerMetrics ===

impl ConsumerMetrics {
    /// `consumer` is the consumer's configured name, so that the label stays bounded where queues have drawn names.
    pub(crate) fn new(consumer: &str) -> Self {
        let name = consumer.to_owned();
        let outcome = |outcome: &'static str| counter!("event_hub.handled", "consumer" => name.clone(), "outcome" => outcome);
        Self {
            acked: outcome("ack"),
            retried: outcome("retry"),
            dead: outcome("dead_letter"),
            returned: outcome("return"),
            dropped: outcome("drop"),
            redelivered: counter!("event_hub.redelivered", "consumer" => name.clone()),
            seconds: histogram!("event_hub.handle.duration", "consumer" => name.clone()),
            lag: histogram!("event_hub.handle.lag", "consumer" => name.clone()),
            in_flight: gauge!("event_hub.handle.in_flight", "consumer" => name.clone()),
        }
    }
}
