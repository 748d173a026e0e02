//! Tests of the log.

use std::io;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tracing::dispatcher::with_default;

use super::*;
use crate::trace_context::{self, TraceContext};

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

/// What `work` logs.
fn logged(config: &TelemetryConfig, work: impl FnOnce()) -> Vec<String> {
    let output = Output::default();
    let (dispatch, guard) = Telemetry::build(config, Box::new(output.clone())).unwrap();
    with_default(&dispatch, work);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(guard.shutdown(Duration::from_secs(60)));
    output.lines()
}

fn json() -> TelemetryConfig {
    let mut config = TelemetryConfig::new("payments");
    config.log_format = LogFormat::Json;
    config
}

#[test]
fn json_lines_have_the_ids() {
    let lines = logged(&json(), || {
        tracing::info!("alone");
        let span = tracing::info_span!("request", request_id = "r-1");
        let parent = TraceContext::root(true);
        trace_context::continue_with(&span, &parent, crate::Trust::Internal);
        let _entered = span.enter();
        // The line, the header and the span agree.
        let here = trace_context::current().unwrap();
        assert_eq!(here.trace_id(), parent.trace_id());
        let error = Error::with_source(ErrorKind::Thread, "inner");
        tracing::warn!(
            answer = 42,
            good = true,
            trace = here.trace_id(),
            span = here.span_id(),
            error = &error as &dyn std::error::Error,
            "in a \"span\"\n"
        );
        let _deep = tracing::debug_span!("deep").entered();
        tracing::info!("deep");
        tracing::debug!("too quiet");
    });
    assert_eq!(lines.len(), 3, "{lines:?}");
    let all: Vec<Value> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(all[0]["service"], "payments");
    assert_eq!(all[0]["message"], "alone");
    assert!(all[0].get("trace_id").is_none());
    let line = &all[1];
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "in a \"span\"\n");
    assert_eq!(line["request_id"], "r-1");
    assert_eq!(line["trace_id"], line["trace"]);
    assert_eq!(line["span_id"], line["field.span"]);
    assert_eq!(line["span"], "request");
    assert_eq!(line["answer"], 42);
    assert_eq!(line["good"], true);
    assert_eq!(line["error"], "a thread could not be started: inner");
    assert_eq!(line["target"], "tramline_observability::telemetry::tests");
    line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    // From a span that is filtered out, the ids are those of the span around it.
    assert_eq!(all[2]["trace_id"], line["trace_id"]);
    assert_eq!(all[2]["request_id"], "r-1");
}

/// `RUST_LOG=warn`: the request's span is below that, and a warning inside it must name the request all the same.
#[test]
fn a_quiet_filter_does_not_lose_the_ids() {
    let mut config = json();
    config.filter = "warn".to_owned();
    let lines = logged(&config, || {
        let _span = tracing::info_span!("request", request_id = "r-2", service = "auth").entered();
        tracing::info!("quiet");
        tracing::warn!(request_id = "forged", "loud");
    });
    assert_eq!(lines.len(), 1);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["request_id"], "r-2");
    assert_eq!(line["field.request_id"], "forged");
    // A span that names a service speaks for what is inside it.
    assert_eq!(line["service"], "auth");
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn pretty_lines_are_lines() {
    let mut config = TelemetryConfig::new("auth");
    config.color = false;
    let lines = logged(&config, || {
        let _span = tracing::info_span!("request", request_id = "r-3").entered();
        tracing::info!(path = "/a b", n = 1, "one\ntwo \x1b[31mred");
    });
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert!(line.contains(" INFO auth "), "{line}");
    assert!(line.contains("one\\ntwo \\u{1b}[31mred"), "{line}");
    assert!(line.contains("path=\"/a b\""), "{line}");
    assert!(line.contains(" n=1") && line.contains(" request_id=r-3 trace_id="), "{line}");
}

#[test]
fn lines_of_the_exporter_ask_for_no_ids() {
    let lines = logged(&json(), || {
        let _span = tracing::info_span!("request", request_id = "r-4").entered();
        tracing::warn!(target: "opentelemetry_sdk", "full");
    });
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert!(line.get("trace_id").is_none());
}

/// A guard that is dropped writes what waits, also for a reader that is slow. For that it has half a second: on a machine
/// that was too busy for it, once more.
#[test]
fn a_dropped_guard_writes_what_waits() {
    struct Slow(Output, mpsc::Receiver<()>);
    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.1.recv_timeout(Duration::from_millis(100));
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for _ in 0..50 {
        let output = Output::default();
        // Nobody says anything: each write takes its time.
        let (_silent, never) = mpsc::channel();
        let (dispatch, guard) = Telemetry::build(&json(), Box::new(Slow(output.clone(), never))).unwrap();
        with_default(&dispatch, || tracing::info!("a line"));
        let begin = tokio::time::Instant::now();
        drop(guard);
        if begin.elapsed() < Duration::from_millis(400) {
            assert_eq!(output.lines().len(), 1);
            return;
        }
    }
    panic!("never within its time");
}

#[test]
fn bad_configurations_are_errors() {
    let mut config = json();
    config.filter = "info,foo=loud".to_owned();
    let error = Telemetry::build(&config, Box::new(io::sink())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Filter);
    for endpoint in ["", "localhost:4318", "grpc://x:1", "http://", "https://x"] {
        let mut config = json();
        config.otlp_endpoint = Some(endpoint.to_owned());
        let error = Telemetry::build(&config, Box::new(io::sink())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Export, "{endpoint}");
    }
}

/// Nobody reads the pipe: who logs is not held up, what does not fit is counted, and the end comes in time.
#[tokio::test]
async fn a_full_pipe_holds_nobody_up() {
    struct Stuck(mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (unstick, stuck) = mpsc::channel();
    let mut config = json();
    config.log_buffer = 10_000;
    let (dispatch, guard) = Telemetry::build(&config, Box::new(Stuck(stuck))).unwrap();
    with_default(&dispatch, || {
        for n in 0..1_000 {
            tracing::info!(n, "a line of some length");
        }
    });
    let report = guard.shutdown(Duration::from_millis(200)).await;
    assert!(report.timed_out);
    assert!((900..1_000).contains(&report.lines_dropped), "{report:?}");
    assert!(!report.is_whole());
    drop(unstick);
}
