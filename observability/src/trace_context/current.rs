//! From spans to contexts and back.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::{Dispatch, Span, span};
use tracing_opentelemetry::{OpenTelemetrySpanExt, get_otel_context};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

use crate::trace_context::{TraceContext, Trust};

/// Marks a parent whose sampling decision is not ours to obey; read by the sampler.
///
/// Public only so that a sampler of your own can look for it in the parent's context.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Untrusted;

/// The context of the active span, or of its nearest ancestor that has one.
///
/// `None` outside any span, and when no [`Telemetry`](crate::Telemetry) is installed.
#[must_use]
pub fn current() -> Option<TraceContext> {
    of_span(&Span::current())
}

/// The `traceparent` of the active span: what goes into an outgoing request, an outbox row, or a message.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    current().map(|context| context.to_traceparent())
}

/// The `tracestate` of the active span, if its trace carries one.
#[must_use]
pub fn current_tracestate() -> Option<String> {
    current()?.tracestate().map(str::to_owned)
}

/// Makes `span` a child of the place that `traceparent` names, one of our own: an outbox row, a message, a frame.
///
/// Call it before the span is entered. Returns whether it took: `false` when `traceparent` is invalid (the span
/// then begins where it would have), when the span has started, or when no [`Telemetry`](crate::Telemetry) is
/// installed.
#[allow(
    clippy::must_use_candidate,
    reason = "without telemetry there is nothing to continue, and nothing to do about it"
)]
pub fn continue_from(span: &Span, traceparent: &str) -> bool {
    TraceContext::parse(traceparent, None).is_some_and(|parent| continue_with(span, &parent, Trust::Internal))
}

/// Links `span` to the place that `traceparent` names: for a span that is about many messages, each in a trace of
/// its own. Returns whether `traceparent` is valid.
#[allow(
    clippy::must_use_candidate,
    reason = "without telemetry there is nothing to link, and nothing to do about it"
)]
pub fn link_to(span: &Span, traceparent: &str) -> bool {
    let context = TraceContext::parse(traceparent, None);
    context.map(|context| span.add_link(context.to_otel())).is_some()
}

/// Makes `span` a child of `parent`; like [`continue_from`], with a say in whether the caller is trusted.
#[allow(
    clippy::must_use_candidate,
    reason = "without telemetry there is nothing to continue, and nothing to do about it"
)]
pub fn continue_with(span: &Span, parent: &TraceContext, trust: Trust) -> bool {
    let context = Context::new().with_remote_span_context(parent.to_otel());
    let context = match trust {
        Trust::Internal => context,
        Trust::Public => context.with_value(Untrusted),
    };
    span.set_parent(context).is_ok()
}

pub(crate) fn of_span(span: &Span) -> Option<TraceContext> {
    span.with_subscriber(|(id, dispatch)| span_context(id, dispatch))
        .flatten()
        .and_then(|context| TraceContext::from_otel(&context))
}

/// The ids of a span, or of its nearest ancestor that the OpenTelemetry layer has not filtered out.
pub(crate) fn span_context(id: &span::Id, dispatch: &Dispatch) -> Option<SpanContext> {
    let found = |id: &span::Id| {
        let context = get_otel_context(id, dispatch)?.span().span_context().clone();
        context.is_valid().then_some(context)
    };
    if let Some(context) = found(id) {
        return Some(context);
    }
    let registry = dispatch.downcast_ref::<Registry>()?;
    let mut span = registry.span(id)?.parent();
    while let Some(ancestor) = span {
        if let Some(context) = found(&ancestor.id()) {
            return Some(context);
        }
        span = ancestor.parent();
    }
    None
}
