//! Which traces are recorded.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

use crate::trace_context::Untrusted;

/// Obeys a trusted parent, and decides by itself for new traces and for those of strangers.
#[derive(Clone, Debug)]
pub(super) struct EdgeSampler {
    /// Of 2^32 draws, this many record.
    threshold: u64,
}

// === impl EdgeSampler ===

impl EdgeSampler {
    pub(super) fn new(ratio: f64) -> Self {
        // NaN becomes 0: a ratio that is no number records nothing.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=2^32 just before"
        )]
        let threshold = (ratio.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        Self { threshold }
    }

    /// Drawn, not taken from the trace id: a stranger chooses that.
    fn draw(&self) -> bool {
        let bytes = uuid::Uuid::new_v4().into_bytes();
        let drawn = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        u64::from(drawn) < self.threshold
    }
}

impl ShouldSample for EdgeSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let span = parent.filter(|cx| cx.has_active_span()).map(Context::span);
        let remote = span
            .as_ref()
            .map(opentelemetry::trace::SpanRef::span_context)
            .filter(|context| context.is_valid());
        let untrusted = || parent.is_some_and(|cx| cx.get::<Untrusted>().is_some());
        let record = match remote {
            // The mark stays in the context of the spans below, which are local and have our own decision.
            Some(context) if !(context.is_remote() && untrusted()) => context.is_sampled(),
            _ => self.draw(),
        };
        SamplingResult {
            decision: if record { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: remote.map(|context| context.trace_state().clone()).unwrap_or_default(),
        }
    }
}
