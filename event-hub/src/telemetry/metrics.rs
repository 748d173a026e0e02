//! Metrics. Their handles are made once; an event costs additions only.

use std::fmt;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::publish::PublishErrorKind;
use crate::telemetry::{PROCESS, PUBLISH};

/// Of publishing.
#[derive(Clone)]
pub(crate) struct PublishMetrics {
    confirmed: Answers,
    returned: Answers,
    full: Answers,
    nacked: Answers,
    timeout: Answers,
    blocked: Answers,
    unknown: Answers,
    /// The broker closed the channel.
    closed_over: Answers,
    /// Not sent at all.
    refused: Counter,
    pub(crate) in_flight: Gauge,
}

/// Publishes that were answered alike.
#[derive(Clone)]
struct Answers {
    sent: Counter,
    seconds: Histogram,
}

/// Of one consumer.
#[derive(Clone)]
pub(crate) struct ConsumerMetrics {
    pub(crate) consumed: Counter,
    pub(crate) acked: Counter,
    pub(crate) postponed: Counter,
    pub(crate) retried: Counter,
    pub(crate) dead: Counter,
    pub(crate) returned: Counter,
    pub(crate) dropped: Counter,
    pub(crate) redelivered: Counter,
    /// From the event's time to its handler's start.
    pub(crate) lag: Histogram,
    pub(crate) in_flight: Gauge,
    /// 1 while every event fails and it waits.
    pub(crate) paused: Gauge,
    seconds: Histogram,
    failed_seconds: Histogram,
    panic_seconds: Histogram,
    timeout_seconds: Histogram,
}

/// How a handler's call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Processed {
    Well,
    Failed,
    Panicked,
    TimedOut,
}

/// Of one connection.
#[cfg(feature = "amqp")]
pub(crate) struct ConnectionMetrics {
    pub(crate) opened: Counter,
    pub(crate) lost: Counter,
    pub(crate) blocked: Gauge,
}

const SENT: &str = "messaging.client.sent.messages";
const OPERATION: &str = "messaging.client.operation.duration";
const CONSUMED: &str = "messaging.client.consumed.messages";
const PROCESSING: &str = "messaging.process.duration";
const REFUSED: &str = "event_hub.publish.refused";
const PUBLISHING: &str = "event_hub.publish.in_flight";
const HANDLED: &str = "event_hub.handled";
const REDELIVERED: &str = "event_hub.redelivered";
const LAG: &str = "event_hub.handle.lag";
const HANDLING: &str = "event_hub.handle.in_flight";
const PAUSED: &str = "event_hub.handle.paused";
#[cfg(feature = "amqp")]
const OPENED: &str = "event_hub.connection.opened";
#[cfg(feature = "amqp")]
const LOST: &str = "event_hub.connection.lost";
#[cfg(feature = "amqp")]
const BLOCKED: &str = "event_hub.connection.blocked";

const SYSTEM: &str = "messaging.system";
const OPERATION_NAME: &str = "messaging.operation.name";
const OPERATION_TYPE: &str = "messaging.operation.type";
const DESTINATION: &str = "messaging.destination.name";
const CONSUMER: &str = "messaging.consumer.group.name";
const ERROR: &str = "error.type";

// === impl PublishMetrics ===

impl PublishMetrics {
    pub(crate) fn new(system: &'static str, exchange: &str) -> Self {
        describe_counter!(SENT, "Events sent to the broker");
        describe_histogram!(OPERATION, Unit::Seconds, "Duration of a publish until its confirm");
        describe_counter!(
            REFUSED,
            "Events not sent: too large, the hub was shut down, or has declared no exchange"
        );
        describe_gauge!(PUBLISHING, "Events whose confirm is awaited");
        let destination = Label::new(DESTINATION, exchange.to_owned());
        let answers = |error: Option<&'static str>| {
            let mut labels = vec![
                Label::from_static_parts(SYSTEM, system),
                Label::from_static_parts(OPERATION_NAME, PUBLISH),
                Label::from_static_parts(OPERATION_TYPE, "send"),
                destination.clone(),
            ];
            labels.extend(error.map(|error| Label::from_static_parts(ERROR, error)));
            Answers { sent: counter!(SENT, labels.clone()), seconds: histogram!(OPERATION, labels) }
        };
        Self {
            confirmed: answers(None),
            returned: answers(Some("returned")),
            nacked: answers(Some("nacked")),
            full: answers(Some("full")),
            timeout: answers(Some("timeout")),
            blocked: answers(Some("blocked")),
            unknown: answers(Some("unknown")),
            closed_over: answers(Some("refused")),
            refused: counter!(REFUSED, vec![destination.clone()]),
            in_flight: gauge!(PUBLISHING, vec![destination.clone()]),
        }
    }

    /// Counts the answers to what was sent together, and how long that took.
    pub(crate) fn count<T>(&self, results: &[Result<T, PublishErrorKind>], took: Duration) {
        let mut confirmed = 0;
        let mut first = None;
        for result in results {
            match result {
                Ok(_) => confirmed += 1,
                Err(PublishErrorKind::Closed | PublishErrorKind::TooLarge { .. }) => {
                    self.refused.increment(1)
                }
                Err(kind) => {
                    let answers = self.of(kind);
                    answers.sent.increment(1);
                    first.get_or_insert(answers);
                }
            }
        }
        if confirmed > 0 {
            self.confirmed.sent.increment(confirmed);
        }
        // One record a call, as it is one span: under its failure when it has one.
        if let Some(answers) = first.or((confirmed > 0).then_some(&self.confirmed)) {
            answers.seconds.record(took.as_secs_f64());
        }
    }

    /// These were not sent at all.
    pub(crate) fn refuse(&self, count: usize) {
        self.refused.increment(count as u64);
    }

    fn of(&self, kind: &PublishErrorKind) -> &Answers {
        match kind {
            PublishErrorKind::Full => &self.full,
            PublishErrorKind::Nacked => &self.nacked,
            PublishErrorKind::Refused { .. } => &self.closed_over,
            PublishErrorKind::Returned { .. } => &self.returned,
            PublishErrorKind::Blocked => &self.blocked,
            PublishErrorKind::Timeout => &self.timeout,
            PublishErrorKind::Closed | PublishErrorKind::TooLarge { .. } | PublishErrorKind::Unknown => {
                &self.unknown
            }
        }
    }
}

impl fmt::Debug for PublishMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishMetrics")
    }
}

// === impl ConsumerMetrics ===

impl ConsumerMetrics {
    /// `consumer` is the consumer's configured name, so that the label stays bounded where queues have drawn names.
    pub(crate) fn new(system: &'static str, consumer: &str) -> Self {
        describe_counter!(CONSUMED, "Deliveries that came to a consumer");
        describe_histogram!(PROCESSING, Unit::Seconds, "Duration of handlers");
        describe_counter!(HANDLED, "Deliveries by how they ended");
        describe_counter!(REDELIVERED, "Deliveries that may have been handled before");
        describe_histogram!(LAG, Unit::Seconds, "From an event's time to its handler's start");
        describe_gauge!(HANDLING, "Deliveries that are being handled");
        describe_gauge!(PAUSED, "1 while a consumer pauses, since every event fails");
        let name = Label::new(CONSUMER, consumer.to_owned());
        let operation = || {
            vec![
                Label::from_static_parts(SYSTEM, system),
                Label::from_static_parts(OPERATION_NAME, PROCESS),
                name.clone(),
            ]
        };
        let outcome =
            |outcome| counter!(HANDLED, vec![name.clone(), Label::from_static_parts("outcome", outcome)]);
        let seconds = |error: Option<&'static str>| {
            let mut labels = operation();
            labels.extend(error.map(|error| Label::from_static_parts(ERROR, error)));
            histogram!(PROCESSING, labels)
        };
        Self {
            consumed: counter!(CONSUMED, operation()),
            acked: outcome("ack"),
            postponed: outcome("postpone"),
            retried: outcome("retry"),
            dead: outcome("dead_letter"),
            returned: outcome("return"),
            dropped: outcome("drop"),
            redelivered: counter!(REDELIVERED, vec![name.clone()]),
            lag: histogram!(LAG, vec![name.clone()]),
            in_flight: gauge!(HANDLING, vec![name.clone()]),
            paused: gauge!(PAUSED, vec![name.clone()]),
            seconds: seconds(None),
            failed_seconds: seconds(Some("failed")),
            panic_seconds: seconds(Some("panic")),
            timeout_seconds: seconds(Some("timeout")),
        }
    }

    /// A call of the handler has ended.
    pub(crate) fn processed(&self, how: Processed, took: Duration) {
        let seconds = match how {
            Processed::Well => &self.seconds,
            Processed::Failed => &self.failed_seconds,
            Processed::Panicked => &self.panic_seconds,
            Processed::TimedOut => &self.timeout_seconds,
        };
        seconds.record(took.as_secs_f64());
    }
}

// === impl ConnectionMetrics ===

#[cfg(feature = "amqp")]
impl ConnectionMetrics {
    pub(crate) fn new(role: &'static str) -> Self {
        describe_counter!(OPENED, "Connections to the broker that were made");
        describe_counter!(LOST, "Connections to the broker that were lost");
        describe_gauge!(BLOCKED, "1 while the broker reads nothing from the connection");
        Self {
            opened: counter!(OPENED, "role" => role),
            lost: counter!(LOST, "role" => role),
            blocked: gauge!(BLOCKED, "role" => role),
        }
    }
}
