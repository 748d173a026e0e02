//! Spans in the words of OpenTelemetry's messaging conventions.
//!
//! The crate speaks `tracing` alone. What joins a span to the trace that the event came with is the
//! application's hook, see [`HubConfig::join_trace`](crate::HubConfig::join_trace).

use tracing::{Span, field};

use crate::config::SpanHook;
use crate::envelope::Event;
use crate::message::Delivery;

pub(crate) fn publish(system: &'static str, exchange: &str, event: &Event, hook: Option<&SpanHook>) -> Span {
    let span = tracing::info_span!(
        "publish",
        otel.name = field::Empty,
        otel.kind = "producer",
        otel.status_code = field::Empty,
        messaging.system = system,
        messaging.operation.name = "publish",
        messaging.destination.name = exchange,
        messaging.message.id = event.id.as_str(),
        messaging.rabbitmq.destination.routing_key = event.event_type,
        traceparent = event.traceparent,
        error.type = field::Empty,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("publish {exchange}"));
        join(&span, event.traceparent.as_deref(), hook);
    }
    span
}

pub(crate) fn process(
    system: &'static str,
    consumer: &str,
    delivery: &Delivery,
    attempt: u32,
    hook: Option<&SpanHook>,
) -> Span {
    let traceparent = delivery.message.text("traceparent");
    let span = tracing::info_span!(
        "process",
        otel.name = field::Empty,
        otel.kind = "consumer",
        otel.status_code = field::Empty,
        messaging.system = system,
        messaging.operation.name = "process",
        messaging.destination.name = delivery.queue,
        messaging.consumer.group.name = consumer,
        messaging.message.id = delivery.message.properties.message_id,
        messaging.rabbitmq.destination.routing_key = delivery.message.key,
        tramline.attempt = attempt,
        traceparent,
        error.type = field::Empty,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("process {}", delivery.queue));
        join(&span, traceparent, hook);
    }
    span
}

fn join(span: &Span, traceparent: Option<&str>, hook: Option<&SpanHook>) {
    if let (Some(traceparent), Some(hook)) = (traceparent, hook) {
        hook.join(span, traceparent);
    }
}
