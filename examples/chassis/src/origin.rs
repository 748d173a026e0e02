//! Where an event comes from: what it carries of the request or event that caused it.

use axum::extract::FromRequestParts;
use http::request::Parts;
use tramline_event_hub::Event;
use tramline_observability::trace_context;

use crate::request_id::CorrelationId;

/// The ids that tie an event to its cause. An extractor, too: of the request at hand.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Origin {
    /// The request that began it all.
    pub correlation_id: Option<String>,
    /// The event that caused it, when it was one.
    pub causation_id: Option<String>,
    /// The W3C trace it belongs to.
    pub traceparent: Option<String>,
}

// === impl Origin ===

impl Origin {
    /// Work that nobody asked for, in the current trace if there is one.
    #[must_use]
    pub fn here() -> Self {
        Self { traceparent: trace_context::current_traceparent(), ..Self::default() }
    }

    /// Work that handles `event`: in the handler's span if that is traced, else in the event's own trace.
    #[must_use]
    pub fn caused_by(event: &Event) -> Self {
        Self {
            correlation_id: event.correlation_id.clone(),
            causation_id: Some(event.id.to_string()),
            traceparent: trace_context::current_traceparent().or_else(|| event.traceparent.clone()),
        }
    }

    /// The event with these ids on it.
    #[must_use]
    pub fn stamp(&self, mut event: Event) -> Event {
        if let Some(id) = &self.correlation_id {
            event = event.with_correlation(id.clone());
        }
        if let Some(id) = &self.causation_id {
            event = event.with_causation(id.clone());
        }
        event.with_trace(self.traceparent.clone(), None)
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let CorrelationId(correlation_id) = CorrelationId::from_request_parts(parts, state).await?;
        Ok(Self { correlation_id, ..Self::here() })
    }
}
