//! The public test cases of W3C trace context, as vectors, and what spans make of them.

use std::io;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use proptest::prelude::*;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::{Telemetry, TelemetryConfig};

const GOOD: &str = "00-12345678901234567890123456789012-1234567890123456-01";

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn state(list: &[&str]) -> Option<String> {
    let mut all = vec![("traceparent", GOOD)];
    all.extend(list.iter().map(|value| ("tracestate", *value)));
    let context = TraceContext::from_headers(&headers(&all)).expect("the parent is good");
    context.tracestate().map(str::to_owned)
}

#[test]
fn good_parents() {
    for (text, out) in [
        (GOOD, GOOD),
        // White space around a header's value is no part of it.
        (" \t00-12345678901234567890123456789012-1234567890123456-01 \t", GOOD),
        // A later version, with and without more behind it.
        ("cc-12345678901234567890123456789012-1234567890123456-01", GOOD),
        ("cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like", GOOD),
        ("cc-12345678901234567890123456789012-1234567890123456-01-", GOOD),
        // Flags that version 00 does not know are not passed on.
        (
            "00-12345678901234567890123456789012-1234567890123456-ff",
            "00-12345678901234567890123456789012-1234567890123456-03",
        ),
        (
            "00-12345678901234567890123456789012-1234567890123456-00",
            "00-12345678901234567890123456789012-1234567890123456-00",
        ),
    ] {
        let context = TraceContext::parse(text, None).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(context.to_traceparent(), out);
    }
}

#[test]
fn bad_parents_are_no_context() {
    for text in [
        "",
        "00",
        "00-",
        "ff-12345678901234567890123456789012-1234567890123456-01",
        "00-12345678901234567890123456789012-1234567890123456-01-",
        "00-12345678901234567890123456789012-1234567890123456-01.",
        "00-12345678901234567890123456789012-1234567890123456-01-extra",
        "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like",
        "cc-12345678901234567890123456789012-1234567890123456-011",
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-12345678901234567890123456789012-0000000000000000-01",
        "00-.2345678901234567890123456789012-1234567890123456-01",
        "00-1234567890123456789012345678901.-1234567890123456-01",
        "00-12345678901234567890123456789012-.234567890123456-01",
        "00-12345678901234567890123456789012-123456789012345.-01",
        "00-12345678901234567890123456789012-1234567890123456-.0",
        "00-12345678901234567890123456789012-1234567890123456-0.",
        "00-12345678901234567890123456789012-1234567890123456-1",
        "00-1234567890123456789012345678901-1234567890123456-01",
        "00-123456789012345678901234567890123-1234567890123456-01",
        "00-12345678901234567890123456789012-123456789012345-01",
        "00-12345678901234567890123456789012-12345678901234567-01",
        "00-ABCDEF78901234567890123456789012-1234567890123456-01",
        "00-12345678901234567890123456789012-ABCDEF7890123456-01",
        "CC-12345678901234567890123456789012-1234567890123456-01",
        ".0-12345678901234567890123456789012-1234567890123456-01",
        "0.-12345678901234567890123456789012-1234567890123456-01",
        "00_12345678901234567890123456789012_1234567890123456_01",
        "00-1234567890123456789012345678901\u{e9}-1234567890123456-01",
    ] {
        assert_eq!(TraceContext::parse(text, None), None, "{text}");
    }
}

#[test]
fn a_header_that_is_there_twice_is_not_there() {
    let twice = headers(&[("traceparent", GOOD), ("traceparent", GOOD)]);
    assert_eq!(TraceContext::from_headers(&twice), None);
    let text = headers(&[("traceparent", "\u{e9}")]);
    assert_eq!(TraceContext::from_headers(&text), None);
    let alone = headers(&[("tracestate", "foo=1")]);
    assert_eq!(TraceContext::from_headers(&alone), None);
}

#[test]
fn good_states() {
    assert_eq!(state(&["foo=1"]).unwrap(), "foo=1");
    assert_eq!(state(&["foo=1,bar=2", "baz=3"]).unwrap(), "foo=1,bar=2,baz=3");
    assert_eq!(state(&["foo=1", ""]).unwrap(), "foo=1");
    assert_eq!(state(&["", "foo=1"]).unwrap(), "foo=1");
    assert_eq!(state(&["foo=1 \t , \t bar=2, \t baz=3"]).unwrap(), "foo=1,bar=2,baz=3");
    assert_eq!(state(&["foo=1\t \t"]).unwrap(), "foo=1");
    assert_eq!(state(&["foo@x-y=1,1a-2f@foo=bar1"]).unwrap(), "foo@x-y=1,1a-2f@foo=bar1");
    let longest = format!("{}=1,{}@{}=1", "z".repeat(256), "t".repeat(241), "v".repeat(14));
    assert_eq!(state(&[&longest]).unwrap(), longest);
    let value = format!("foo={}", "v".repeat(256));
    assert_eq!(state(&[&value]).unwrap(), value);
    let all: Vec<String> = (0..32).map(|n| format!("k{n}={n}")).collect();
    assert_eq!(state(&[&all.join(",")]).unwrap(), all.join(","));
}

#[test]
fn bad_states_are_dropped_and_the_parent_stays() {
    let many: Vec<String> = (0..33).map(|n| format!("k{n}={n}")).collect();
    for text in [
        "",
        "foo",
        "foo=",
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "foo@=1,bar=2",
        "@foo=1,bar=2",
        "foo@@bar=1,bar=2",
        "foo@bar@baz=1,bar=2",
        "foo=1,bar=2=3",
        "=1",
        "foo=\u{e9}",
        &many.join(","),
        &format!("{}=1", "z".repeat(257)),
        &format!("{}@v=1", "t".repeat(242)),
        &format!("t@{}=1", "v".repeat(15)),
        &format!("foo={}", "v".repeat(257)),
    ] {
        assert_eq!(state(&[text]), None, "{text}");
    }
}

#[test]
fn injected_headers_replace_what_was_there() {
    let mut headers = headers(&[("traceparent", "x"), ("traceparent", "y"), ("tracestate", "z")]);
    let context = TraceContext::parse(GOOD, Some("foo=1")).unwrap();
    context.inject(&mut headers);
    assert_eq!(TraceContext::from_headers(&headers), Some(context));
    TraceContext::root(true).inject(&mut headers);
    assert!(headers.get("tracestate").is_none());
}

#[test]
fn children_keep_the_trace() {
    let parent = TraceContext::parse(GOOD, Some("foo=1")).unwrap();
    let child = parent.child();
    assert_eq!(child.trace_id(), parent.trace_id());
    assert_ne!(child.span_id(), parent.span_id());
    assert_eq!(child.tracestate(), Some("foo=1"));
    assert!(child.sampled());
    assert_ne!(TraceContext::root(false).trace_id(), TraceContext::root(false).trace_id());
}

/// Nothing is exported, and a line of debug level stands between the span and the caller: the trace is the same.
#[test]
fn a_span_continues_a_trace_without_an_exporter() {
    assert_eq!(current_traceparent(), None);
    let mut config = TelemetryConfig::new("test");
    config.filter = "off".to_owned();
    let (dispatch, _guard) = Telemetry::build(&config, Box::new(io::sink())).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        let span = tracing::info_span!("outer");
        let parent = TraceContext::parse(GOOD, Some("foo=1")).unwrap();
        assert!(continue_with(&span, &parent, Trust::Internal));
        let _outer = span.enter();
        let outer = current().unwrap();
        assert_eq!(outer.trace_id(), "12345678901234567890123456789012");
        assert_ne!(outer.span_id(), "1234567890123456");
        assert_eq!(outer.tracestate(), Some("foo=1"));
        assert!(outer.sampled());
        // Too late: it has begun.
        assert!(!continue_from(&span, GOOD));

        let inner = tracing::info_span!("inner").entered();
        assert_eq!(current().unwrap().trace_id(), outer.trace_id());
        assert_ne!(current().unwrap().span_id(), outer.span_id());
        drop(inner);

        let hidden = tracing::trace_span!("hidden").entered();
        assert_eq!(current(), Some(outer));
        drop(hidden);

        assert!(!continue_from(&tracing::info_span!("other"), "nonsense"));
    });
}

#[derive(Clone, Debug, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// A span about two messages stands in a trace of its own and names both of theirs.
#[test]
fn a_span_is_linked_to_many_traces() {
    let exported = Exported::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exported.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let other = GOOD.replace("12345678901234567890123456789012", "22345678901234567890123456789012");
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let span = tracing::info_span!("batch");
        assert!(link_to(&span, GOOD));
        assert!(link_to(&span, &other));
        assert!(!link_to(&span, "nonsense"));
        drop(span.entered());
    });
    let exported = exported.0.lock().unwrap();
    let links: Vec<_> =
        exported[0].links.iter().map(|link| link.span_context.trace_id().to_string()).collect();
    assert_eq!(links, ["12345678901234567890123456789012", "22345678901234567890123456789012"]);
    assert!(!links.contains(&exported[0].span_context.trace_id().to_string()));
}

#[test]
fn strangers_do_not_decide_what_is_recorded() {
    for (ratio, flag, trust, sampled) in [
        (0.0, "01", Trust::Public, false),
        (1.0, "00", Trust::Public, true),
        (0.0, "01", Trust::Internal, true),
        (1.0, "00", Trust::Internal, false),
    ] {
        let mut config = TelemetryConfig::new("test");
        config.sample_ratio = ratio;
        let (dispatch, _guard) = Telemetry::build(&config, Box::new(io::sink())).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            let span = tracing::info_span!("outer");
            let text = format!("{}{flag}", &GOOD[..53]);
            let parent = TraceContext::parse(&text, None).unwrap();
            assert!(continue_with(&span, &parent, trust));
            let _outer = span.enter();
            assert_eq!(current().unwrap().trace_id(), parent.trace_id());
            assert_eq!(current().unwrap().sampled(), sampled, "{trust:?} {ratio} {flag}");
            // The spans below follow their parent; they do not draw again.
            let _inner = tracing::info_span!("inner").entered();
            assert_eq!(current().unwrap().sampled(), sampled);
        });
    }
}

proptest! {
    #[test]
    fn no_text_panics(parent in "\\PC{0,80}", state in "\\PC{0,80}") {
        let _ = TraceContext::parse(&parent, Some(&state));
    }

    #[test]
    fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags in 0_u8..4) {
        let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
        prop_assert_eq!(TraceContext::parse(&text, None).unwrap().to_traceparent(), text);
    }
}
