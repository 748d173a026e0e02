//! Spans.

use tracing::{Span, field};

use crate::config::SpanHook;
use crate::envelope::Event;
use crate::message::Delivery;
use crate::publish::PublishErrorKind;
use crate::telemetry::{PROCESS, PUBLISH};

/// What a hub's publishing spans have in common.
#[derive(Debug)]
pub(crate) struct PublishSpans {
    system: &'static str,
    exchange: String,
    name: String,
    hook: Option<SpanHook>,
}

/// What a consumer's spans have in common.
#[derive(Debug)]
pub(crate) struct ProcessSpans {
    system: &'static str,
    consumer: String,
    name: String,
    hook: Option<SpanHook>,
}

/// The OpenTelemetry SDKs keep so many links of a span.
const LINKS: usize = 128;

// === impl PublishSpans ===

impl PublishSpans {
    pub(crate) fn new(system: &'static str, exchange: &str, hook: Option<SpanHook>) -> Self {
        Self { system, exchange: exchange.to_owned(), name: format!("{PUBLISH} {exchange}"), hook }
    }

    /// Of one event, in its trace.
    pub(crate) fn one(&self, event: &Event) -> Span {
        let span = tracing::info_span!(
            "publish",
            otel.name = self.name,
            otel.kind = "producer",
            otel.status_code = field::Empty,
            messaging.system = self.system,
            messaging.operation.name = PUBLISH,
            messaging.operation.type = "send",
            messaging.destination.name = self.exchange,
            messaging.message.id = event.id.as_str(),
            messaging.message.conversation_id = event.correlation_id,
            messaging.rabbitmq.destination.routing_key = event.event_type,
            traceparent = event.traceparent,
            error.type = field::Empty,
        );
        join(&span, event.traceparent.as_deref(), self.hook.as_ref());
        span
    }

    /// Of many, linked to their traces.
    pub(crate) fn many(&self, events: &[Event]) -> Span {
        let span = tracing::info_span!(
            "publish",
            otel.name = self.name,
            otel.kind = "client",
            otel.status_code = field::Empty,
            messaging.system = self.system,
            messaging.operation.name = PUBLISH,
            messaging.operation.type = "send",
            messaging.destination.name = self.exchange,
            messaging.batch.message_count = events.len(),
            error.type = field::Empty,
        );
        if let Some(hook) = &self.hook
            && !span.is_disabled()
        {
            let mut last = None;
            for traceparent in events.iter().filter_map(|event| event.traceparent.as_deref()).take(LINKS) {
                if last != Some(traceparent) {
                    hook.link(&span, traceparent);
                }
                last = Some(traceparent);
            }
        }
        span
    }
}

/// Says on a publish's span why it failed.
pub(crate) fn failed(span: &Span, kind: &PublishErrorKind) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind.name());
}

// === impl ProcessSpans ===

impl ProcessSpans {
    /// `consumer` names them: a queue's name may be drawn.
    pub(crate) fn new(system: &'static str, consumer: &str, hook: Option<SpanHook>) -> Self {
        Self { system, consumer: consumer.to_owned(), name: format!("{PROCESS} {consumer}"), hook }
    }

    /// Of one delivery, in its event's trace.
    pub(crate) fn one(&self, delivery: &Delivery, attempt: u32) -> Span {
        let message = &*delivery.message;
        let traceparent = message.traceparent();
        let span = tracing::info_span!(
            "process",
            otel.name = self.name,
            otel.kind = "consumer",
            otel.status_code = field::Empty,
            messaging.system = self.system,
            messaging.operation.name = PROCESS,
            messaging.operation.type = PROCESS,
            messaging.destination.name = &*delivery.queue,
            messaging.consumer.group.name = self.consumer,
            messaging.message.id = message.id(),
            messaging.message.conversation_id = message.correlation_id(),
            messaging.rabbitmq.destination.routing_key = message.key(),
            tramline.attempt = attempt,
            traceparent,
            error.type = field::Empty,
        );
        join(&span, traceparent, self.hook.as_ref());
        span
    }
}

fn join(span: &Span, traceparent: Option<&str>, hook: Option<&SpanHook>) {
    if let (Some(traceparent), Some(hook)) = (traceparent, hook)
        && !span.is_disabled()
    {
        hook.join(span, traceparent);
    }
}
