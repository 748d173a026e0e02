//! The export of spans to a collector that listens, one that says nothing, and none.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Dispatch;
use tramline_observability::telemetry::Guard;
use tramline_observability::trace_context::{self, TraceContext, Trust};
use tramline_observability::{Telemetry, TelemetryConfig};

/// Nothing here takes this long on a busy machine.
const LONG: Duration = Duration::from_secs(30);

fn build(addr: SocketAddr, export_timeout: Duration) -> (Dispatch, Guard) {
    let mut config = TelemetryConfig::new("payments");
    config.otlp_endpoint = Some(format!("http://{addr}/"));
    config.export_timeout = export_timeout;
    Telemetry::build(&config, Box::new(io::sink())).unwrap()
}

/// Makes one span, of a trace of that id; returns it in the bytes that a collector receives.
fn one_span(dispatch: &Dispatch) -> Vec<u8> {
    tracing::dispatcher::with_default(dispatch, || {
        let parent = TraceContext::root(true);
        let span = tracing::info_span!("charge", amount = 7);
        assert!(trace_context::continue_with(&span, &parent, Trust::Internal));
        let _entered = span.enter();
        tracing::warn!("slow");
        // What the exporter does must not become spans of its own.
        let _own = tracing::info_span!(target: "hyper::client", "connect").entered();
        let id = parent.trace_id();
        (0..16).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).unwrap()).collect()
    })
}

/// Reads one request: its head, and as much body as its length says.
async fn receive(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let head_end = loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "cut off");
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let length: usize = length.parse().unwrap();
    while bytes.len() < head_end + length {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "cut off");
    }
    (head, bytes[head_end..].to_vec())
}

fn has(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

/// On a runtime of one thread, which the exporter must not need.
#[tokio::test]
async fn spans_reach_the_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dispatch, guard) = build(listener.local_addr().unwrap(), LONG);
    let (received, mut requests) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = receive(&mut stream).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = received.send(request).await;
        }
    });
    let trace_id = one_span(&dispatch);
    let report = guard.shutdown(LONG).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.exported, report.lost), (1, 0));
    let (head, body) = requests.recv().await.unwrap();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    assert!(has(&body, &trace_id));
    for text in ["service.name", "payments", "charge", "amount", "slow"] {
        assert!(has(&body, text.as_bytes()), "{text}");
    }
    assert!(!has(&body, b"connect"));
}

/// The collector takes the connection and says nothing: the end comes in time, and says what is lost.
#[tokio::test]
async fn a_black_hole_does_not_hold_the_end_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dispatch, guard) = build(listener.local_addr().unwrap(), LONG);
    one_span(&dispatch);
    let begin = Instant::now();
    let report = guard.shutdown(Duration::from_millis(400)).await;
    assert!(begin.elapsed() < LONG / 3, "{:?}", begin.elapsed());
    assert_eq!((report.exported, report.lost), (0, 1), "{report:?}");
    assert!(report.timed_out);
    drop(listener);
}

/// Nobody listens. The SDK says that all is well; the report does not.
#[tokio::test]
async fn spans_that_nobody_took_are_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let (dispatch, guard) = build(addr, Duration::from_millis(500));
    one_span(&dispatch);
    let report = guard.shutdown(LONG).await;
    assert_eq!((report.exported, report.lost), (0, 1), "{report:?}");
    assert!(!report.is_whole());
}

/// The process has a subscriber already: it stays, and nothing panics.
#[tokio::test]
async fn a_second_init_is_not_installed() {
    let mut config = TelemetryConfig::new("test");
    // It stays for the whole process: it should not write into the other tests' output.
    config.filter = "off".to_owned();
    let first = Telemetry::init(&config).unwrap();
    let second = Telemetry::init(&config).unwrap();
    assert!(first.is_installed());
    assert!(!second.is_installed());
    // A guard that is just dropped, inside a runtime, does no harm.
    drop(second);
    first.shutdown(Duration::from_secs(1)).await;
}
