//! How a log line looks.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use opentelemetry::trace::{SpanId, TraceId};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// Longest text kept of one field: a stack of errors fits, a dumped body does not.
const MAX_FIELD: usize = 16 << 10;

/// All that a line is made of.
pub(super) struct Line<'a> {
    pub(super) event: &'a Event<'a>,
    pub(super) service: &'a str,
    pub(super) request_id: Option<&'a str>,
    pub(super) ids: Option<(TraceId, SpanId)>,
    pub(super) span: Option<&'a str>,
}

pub(super) fn json(out: &mut String, line: &Line<'_>) {
    #[derive(Serialize)]
    struct Json<'a> {
        timestamp: String,
        level: &'a str,
        target: &'a str,
        message: String,
        service: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        trace_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        span_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        span: Option<&'a str>,
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    let mut fields = Fields::default();
    line.event.record(&mut fields);
    // A field must not pass for one of ours: a reader takes the last of two.
    for own in OWN {
        if let Some(value) = fields.others.remove(*own) {
            fields.others.insert(format!("field.{own}"), value);
        }
    }
    let meta = line.event.metadata();
    let json = Json {
        timestamp: timestamp(),
        level: meta.level().as_str(),
        target: meta.target(),
        message: fields.message,
        service: line.service,
        trace_id: line.ids.map(|(trace, _)| trace.to_string()),
        span_id: line.ids.map(|(_, span)| span.to_string()),
        request_id: line.request_id,
        span: line.span,
        fields: fields.others,
    };
    if let Ok(text) = serde_json::to_string(&json) {
        out.push_str(&text);
        out.push('\n');
    }
}

pub(super) fn pretty(out: &mut String, line: &Line<'_>, color: bool) {
    let mut fields = Fields::default();
    line.event.record(&mut fields);
    let meta = line.event.metadata();
    let (paint, dim, plain) = match (color, *meta.level()) {
        (false, _) => ("", "", ""),
        (true, Level::ERROR) => ("\x1b[31m", "\x1b[2m", "\x1b[0m"),
        (true, Level::WARN) => ("\x1b[33m", "\x1b[2m", "\x1b[0m"),
        (true, Level::INFO) => ("\x1b[32m", "\x1b[2m", "\x1b[0m"),
        (true, _) => ("\x1b[34m", "\x1b[2m", "\x1b[0m"),
    };
    let (time, level) = (timestamp(), meta.level().as_str());
    let (service, target) = (line.service, meta.target());
    // Writing to a `String` does not fail.
    let _ = write!(out, "{dim}{time}{plain} {paint}{level:>5}{plain} {service} {dim}{target}:{plain} ");
    one_line(out, &fields.message);
    for (name, value) in &fields.others {
        let _ = write!(out, " {dim}{name}={plain}");
        match value {
            Value::String(text) if is_plain(text) => out.push_str(text),
            other => {
                let _ = write!(out, "{other}");
            }
        }
    }
    if let Some(id) = line.request_id {
        let _ = write!(out, " {dim}request_id={id}{plain}");
    }
    if let Some((trace, _)) = line.ids {
        let _ = write!(out, " {dim}trace_id={trace}{plain}");
    }
    out.push('\n');
}

const OWN: &[&str] =
    &["timestamp", "level", "target", "service", "trace_id", "span_id", "request_id", "span"];

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = cut(value.to_owned());
        if field.name() == "message" {
            self.message = text;
        } else {
            self.insert(field, text.into());
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.insert(field, cut(text).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn timestamp() -> String {
    format!("{:.6}", Timestamp::now())
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_FIELD {
        let end = (0..=MAX_FIELD).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A line break in a message would forge a line, an escape would paint the terminal.
fn one_line(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_control() && c != '"' && !c.is_whitespace())
}
