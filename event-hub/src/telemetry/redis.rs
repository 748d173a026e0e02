//! What moves between the hub and Redis.

use metrics::{Counter, Gauge, Label, counter, describe_counter, describe_gauge, gauge};
use tracing::{Span, field};

use crate::envelope::Event;
use crate::telemetry::PUBLISH;

/// Of events on their way to Redis, by how they ended.
#[derive(Clone)]
pub(crate) struct MirrorMetrics {
    pub(crate) heard: Counter,
    pub(crate) unheard: Counter,
    pub(crate) echo: Counter,
    pub(crate) passed_over: Counter,
}

/// Of messages that came from Redis, by how they ended.
#[derive(Clone)]
pub(crate) struct BridgeMetrics {
    pub(crate) published: Counter,
    pub(crate) echo: Counter,
    pub(crate) passed_over: Counter,
    pub(crate) malformed: Counter,
    pub(crate) returned: Counter,
    pub(crate) overflow: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) waiting: Gauge,
    pub(crate) attached: Gauge,
    pub(crate) gaps: Counter,
}

const MIRRORED: &str = "event_hub.redis.mirrored";
const RECEIVED: &str = "event_hub.redis.received";
const WAITING: &str = "event_hub.redis.waiting";
const ATTACHED: &str = "event_hub.redis.attached";
const GAPS: &str = "event_hub.redis.gaps";

// === impl MirrorMetrics ===

impl MirrorMetrics {
    pub(crate) fn new(redis: &str) -> Self {
        describe_counter!(MIRRORED, "Events for Redis by how they ended");
        let ended = |outcome| counter!(MIRRORED, labels(redis, Some(outcome)));
        Self {
            heard: ended("heard"),
            unheard: ended("unheard"),
            echo: ended("echo"),
            passed_over: ended("passed_over"),
        }
    }
}

// === impl BridgeMetrics ===

impl BridgeMetrics {
    pub(crate) fn new(redis: &str) -> Self {
        describe_counter!(RECEIVED, "Messages from Redis by how they ended");
        describe_gauge!(WAITING, "Messages from Redis that wait for the hub");
        describe_gauge!(ATTACHED, "1 while the bridge is subscribed");
        describe_counter!(GAPS, "Subscriptions that were lost");
        let ended = |outcome| counter!(RECEIVED, labels(redis, Some(outcome)));
        Self {
            published: ended("published"),
            echo: ended("echo"),
            passed_over: ended("passed_over"),
            malformed: ended("malformed"),
            returned: ended("returned"),
            overflow: ended("overflow"),
            abandoned: ended("abandoned"),
            waiting: gauge!(WAITING, labels(redis, None)),
            attached: gauge!(ATTACHED, labels(redis, None)),
            gaps: counter!(GAPS, labels(redis, None)),
        }
    }
}

/// Of one event's `PUBLISH`, inside the span of its processing.
pub(crate) fn redis_publish(redis: &str, channel: &str, event: &Event) -> Span {
    tracing::info_span!(
        "publish",
        otel.name = format!("{PUBLISH} {redis}"),
        otel.kind = "producer",
        otel.status_code = field::Empty,
        messaging.system = "redis",
        messaging.operation.name = PUBLISH,
        messaging.operation.type = "send",
        messaging.destination.name = channel,
        messaging.message.id = event.id.as_str(),
        messaging.message.conversation_id = event.correlation_id,
        error.type = field::Empty,
    )
}

fn labels(redis: &str, outcome: Option<&'static str>) -> Vec<Label> {
    let mut labels = vec![Label::new("redis", redis.to_owned())];
    labels.extend(outcome.map(|outcome| Label::from_static_parts("outcome", outcome)));
    labels
}
