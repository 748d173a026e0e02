//! W3C trace context, strictly: what does not parse is not a context, and a new trace begins.

mod current;
mod parse;

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

pub use crate::trace_context::current::{
    Untrusted, continue_from, continue_with, current, current_traceparent, current_tracestate, link_to,
};
pub(crate) use crate::trace_context::current::{of_span, span_context};

/// The `traceparent` header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The `tracestate` header.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The `baggage` header.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// A place in a trace: the trace's id, the id of the span that is the parent, and what travels with them.
#[derive(Clone, Eq, PartialEq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
    state: Option<String>,
}

/// Whom a caller is to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Trust {
    /// One of our own services: its sampling decision stands, its baggage passes.
    Internal,
    /// The internet: the trace id is kept, the sampling decision is ours, baggage is dropped.
    Public,
}

// === impl TraceContext ===

impl TraceContext {
    /// Parses a `traceparent` and, when there is one, a `tracestate`.
    ///
    /// A `tracestate` that does not parse is dropped, as the specification says; a `traceparent` that does not
    /// parse is `None`.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (trace_id, span_id, flags) = parse::traceparent(traceparent)?;
        let state = tracestate.and_then(parse::tracestate);
        Some(Self { trace_id, span_id, flags, state })
    }

    /// Reads a context from headers; `None` when it is absent, invalid, or there are two of it.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next()?.to_str().ok()?;
        if parents.next().is_some() {
            return None;
        }
        let mut state = String::new();
        for value in headers.get_all(TRACESTATE) {
            // A header that is no text spoils the list: `,=` never parses.
            let text = value.to_str().unwrap_or("=");
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(text);
        }
        Self::parse(parent, Some(&state))
    }

    /// Begins a new trace with random ids.
    #[must_use]
    pub fn root(sampled: bool) -> Self {
        Self {
            trace_id: TraceId::from_bytes(uuid::Uuid::new_v4().into_bytes()),
            span_id: random_span_id(),
            flags: u8::from(sampled),
            state: None,
        }
    }

    /// The same trace with a new span id.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: random_span_id(), ..self.clone() }
    }

    /// The trace's id, 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.trace_id.to_string()
    }

    /// The span's id, 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        self.span_id.to_string()
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The `tracestate` as it is passed on.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The `traceparent` as it is passed on, always in version 00.
    #[must_use]
    pub fn to_traceparent(&self) -> String {
        // Only the flags that version 00 knows: sampled and random.
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags & 0b11)
    }

    /// Sets both headers to this context, replacing what is there.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.to_traceparent()) {
            headers.insert(TRACEPARENT, value);
        }
        match self.tracestate().and_then(|state| HeaderValue::try_from(state).ok()) {
            Some(value) => headers.insert(TRACESTATE, value),
            None => headers.remove(TRACESTATE),
        };
    }

    pub(crate) fn from_otel(context: &SpanContext) -> Option<Self> {
        if !context.is_valid() {
            return None;
        }
        let state = context.trace_state().header();
        Some(Self {
            trace_id: context.trace_id(),
            span_id: context.span_id(),
            flags: context.trace_flags().to_u8(),
            state: (!state.is_empty()).then_some(state),
        })
    }

    pub(crate) fn to_otel(&self) -> SpanContext {
        let state = self
            .state
            .as_deref()
            .and_then(|state| TraceState::from_key_value(parse::members(state)).ok())
            .unwrap_or_default();
        SpanContext::new(self.trace_id, self.span_id, TraceFlags::new(self.flags & 0b11), true, state)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext").field(&self.to_traceparent()).field(&self.state).finish()
    }
}

fn random_span_id() -> SpanId {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    // The first six bytes of a v4 id are random, and so are the last six; the two between carry its version.
    let mut id = [0; 8];
    id[..6].copy_from_slice(&bytes[..6]);
    id[6..].copy_from_slice(&bytes[14..]);
    SpanId::from_bytes(id)
}

#[cfg(test)]
mod tests;
