//! The layer that writes log lines.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};

use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::format::{self, Line};
use crate::telemetry::writer::LineWriter;
use crate::telemetry::{LogFormat, TelemetryConfig, filter};
use crate::trace_context::span_context;

/// Longest line; what is beyond is cut. A stack of errors fits, a dumped body does not.
const MAX_LINE: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct LogLayer {
    service: Arc<str>,
    format: LogFormat,
    color: bool,
    lines: LineWriter,
    /// Set when the subscriber is complete; to ask the bridge for a span's ids.
    dispatch: OnceLock<WeakDispatch>,
}

/// What every line inside a span says; kept in the span's extensions, inherited from its parent.
#[derive(Clone, Debug, Default)]
struct Labels {
    request_id: Option<Arc<str>>,
    service: Option<Arc<str>>,
}

// === impl LogLayer ===

impl LogLayer {
    pub(super) fn new(config: &TelemetryConfig, lines: LineWriter) -> Self {
        Self {
            service: config.service_name.as_str().into(),
            format: config.log_format,
            color: config.color,
            lines,
            dispatch: OnceLock::new(),
        }
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attrs: &span::Attributes<'_>, id: &span::Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut labels =
            span.parent().and_then(|parent| parent.extensions().get::<Labels>().cloned()).unwrap_or_default();
        attrs.record(&mut labels);
        span.extensions_mut().insert(labels);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        if let Some(labels) = span.extensions_mut().get_mut::<Labels>() {
            values.record(labels);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        // The bridge may be the one who speaks, and hold the very locks that its spans' ids are behind.
        let span = if filter::is_own(event.metadata().target()) { None } else { cx.event_span(event) };
        let labels =
            span.as_ref().and_then(|span| span.extensions().get::<Labels>().cloned()).unwrap_or_default();
        let ids = span.as_ref().and_then(|span| {
            let dispatch = self.dispatch.get()?.upgrade()?;
            span_context(&span.id(), &dispatch)
        });
        let line = Line {
            event,
            service: labels.service.as_deref().unwrap_or(&self.service),
            request_id: labels.request_id.as_deref(),
            ids: ids.map(|ids| (ids.trace_id(), ids.span_id())),
            span: span.as_ref().map(|span| span.name()),
        };
        BUFFER.with(|buffer| {
            // A field that logs while it is formatted finds the buffer taken, and gets one of its own.
            let mut own = String::new();
            let mut shared = buffer.try_borrow_mut();
            let text = match &mut shared {
                Ok(text) => &mut **text,
                Err(_) => &mut own,
            };
            text.clear();
            match self.format {
                LogFormat::Json => format::json(text, &line),
                LogFormat::Pretty => format::pretty(text, &line, self.color),
            }
            self.lines.write(text.as_bytes().to_vec());
            text.shrink_to(MAX_LINE);
        });
    }
}

impl Visit for Labels {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "request_id" => self.request_id = Some(value.into()),
            "service" => self.service = Some(value.into()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "request_id" | "service") {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

thread_local! {
    static BUFFER: RefCell<String> = const { RefCell::new(String::new()) };
}
