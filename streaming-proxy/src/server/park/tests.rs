//! Tests of parking: raw bytes on connections in memory, whose time is paused.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance};

use super::*;
use crate::server::connection::Connection;
use crate::server::refuse::Checks;
use crate::server::timer::SILENCE;
use crate::server::{RequestBody, ServerConfig};
use crate::trust::Peer;

/// A client's end, and what serves the other one.
struct Bed<T = DuplexStream> {
    client: T,
    server: JoinHandle<()>,
    draining: Drain,
    /// One permit for each answer.
    gate: Arc<Semaphore>,
    metrics: Snapshotter,
    parked: Cell<f64>,
    _recorder: metrics::LocalRecorderGuard<'static>,
}

const HEAD_TIME: Duration = SILENCE.saturating_mul(30);

/// More than a test sends.
const ROOM: usize = 64 * 1024;

/// A server that answers over a connection that holds `size` bytes each way.
fn bed(size: usize) -> Bed {
    let (client, server) = duplex(size);
    Bed::new(client, server)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Answers with the path; has the body read by somebody else; and echoes what follows an upgrade.
async fn answer(
    mut request: Request<RequestBody>,
    gate: Arc<Semaphore>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    gate.acquire().await.unwrap().forget();
    let mut response = Response::new(Full::new(Bytes::from(request.uri().to_string())));
    if request.uri().path() == "/upgrade" {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        });
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
        response.headers_mut().insert(UPGRADE, "echo".parse().unwrap());
        *response.body_mut() = Full::default();
    } else if request.method() == Method::POST {
        tokio::spawn(request.into_body().collect());
    }
    Ok(response)
}

// === impl Bed ===

impl<T: AsyncRead + AsyncWrite + Unpin> Bed<T> {
    fn new(client: T, server: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        // Leaked: the guard borrows it, and a test is short.
        let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
        let metrics = recorder.snapshotter();
        let _recorder = metrics::set_default_local_recorder(recorder);
        let gate = Arc::new(Semaphore::new(100));
        let draining = Drain::default();
        let config = Arc::new(ServerConfig { header_read_timeout: HEAD_TIME, ..ServerConfig::default() });
        let checks = Checks::new(config.max_uri);
        let service = tower::service_fn({
            let gate = gate.clone();
            move |request| answer(request, gate.clone())
        });
        let connection = Connection { service, config, per_address: None, draining: draining.clone() };
        let (stream, rest) = connection.lingering(server);
        let peer = Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        let server = tokio::spawn(connection.http1(stream, rest, peer, checks));
        Self { client, server, draining, gate, metrics, parked: Cell::new(0.0), _recorder }
    }

    async fn send(&mut self, bytes: &str) {
        self.client.write_all(bytes.as_bytes()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// The head of what comes next, byte by byte, so that nothing behind it is taken.
    async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(self.client.read(&mut byte).await.unwrap(), 1, "ended after {head:?}");
            head.push(char::from(byte[0]));
        }
        head
    }

    async fn is_answered(&mut self, path: &str) {
        let head = self.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        self.reads(path).await;
    }

    async fn reads(&mut self, text: &str) {
        let mut read = vec![0; text.len()];
        self.client.read_exact(&mut read).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&read), text);
    }

    async fn is_closed(&mut self) {
        (&mut self.server).await.unwrap();
        assert_eq!(self.client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(self.parked(), 0.0);
    }

    /// Lets so much time pass, and everybody find that out.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(100);
        for _ in 0..time.as_millis() / step.as_millis() {
            advance(step).await;
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Whether the connection is one that is taken apart.
    fn parked(&self) -> f64 {
        let values = self.metrics.snapshot().into_vec();
        let parked = values.into_iter().find(|(key, ..)| key.key().name() == "streaming_proxy.server.parked");
        // Each look begins anew.
        if let Some((.., DebugValue::Gauge(moved))) = parked {
            self.parked.set(self.parked.get() + moved.into_inner());
        }
        self.parked.get()
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_speaks_again_is_answered() {
    let mut bed = bed(ROOM);
    for path in ["/a", "/b"] {
        bed.send(&get(path)).await;
        bed.is_answered(path).await;
        bed.pass(SILENCE / 2).await;
        assert_eq!(bed.parked(), 0.0);
        bed.pass(SILENCE).await;
        assert_eq!(bed.parked(), 1.0);
    }
    // Two at once, and one in pieces.
    bed.send(&(get("/c") + &get("/d"))).await;
    bed.is_answered("/c").await;
    bed.is_answered("/d").await;
    assert_eq!(bed.parked(), 0.0);
    bed.pass(SILENCE * 2).await;
    assert_eq!(bed.parked(), 1.0);
    for piece in ["G", "ET /e HTTP/1.1\r\nHo", "st: a\r\n\r", "\n"] {
        bed.send(piece).await;
        bed.pass(SILENCE * 2).await;
    }
    bed.is_answered("/e").await;
}

#[tokio::test(start_paused = true)]
async fn a_head_longer_than_what_is_read_first_is_whole() {
    let mut bed = bed(ROOM);
    bed.pass(SILENCE * 2).await;
    assert_eq!(bed.parked(), 1.0, "it has never spoken");
    let long = format!("/{}", "a".repeat(FIRST * 2));
    bed.send(&(get(&long) + &get("/b"))).await;
    bed.is_answered(&long).await;
    bed.is_answered("/b").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_already_is_not_lost_and_its_time_goes_on() {
    for rest in ["TP/1.1\r\nHost: a\r\n\r\n", ""] {
        let mut bed = bed(ROOM);
        bed.send(&(get("/a") + "GET /b HT")).await;
        bed.is_answered("/a").await;
        bed.pass(HEAD_TIME - SILENCE).await;
        assert_eq!(bed.parked(), 0.0, "it waits for the rest of a head");
        bed.send(rest).await;
        if rest.is_empty() {
            bed.pass(SILENCE * 2).await;
            bed.is_closed().await;
            continue;
        }
        bed.is_answered("/b").await;
        bed.pass(SILENCE * 2).await;
        assert_eq!(bed.parked(), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_apart_under_an_answer() {
    // The answer does not fit.
    let mut bed = bed(16);
    bed.gate.forget_permits(100);
    bed.send(&get("/a")).await;
    bed.pass(SILENCE * 3).await;
    assert_eq!(bed.parked(), 0.0, "not answered yet");
    bed.gate.add_permits(1);
    bed.pass(SILENCE * 3).await;
    assert_eq!(bed.parked(), 0.0, "not read yet");
    bed.is_answered("/a").await;
    bed.pass(SILENCE * 2).await;
    assert_eq!(bed.parked(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_apart_under_a_body() {
    // Scenario: an early answer, and an upload that goes on.
    let mut bed = bed(ROOM);
    bed.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
    bed.is_answered("/a").await;
    bed.pass(SILENCE * 3).await;
    assert_eq!(bed.parked(), 0.0);
    bed.send("cd").await;
    bed.pass(SILENCE * 2).await;
    assert_eq!(bed.parked(), 1.0);
    bed.send(&get("/b")).await;
    bed.is_answered("/b").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_apart_over_an_early_answer_that_is_not_read() {
    // Scenario: the answer does not fit, and hyper is between two messages when the upload is through.
    let mut bed = bed(16);
    bed.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
    bed.pass(SILENCE * 2).await;
    bed.send("cd").await;
    bed.pass(SILENCE * 3).await;
    assert_eq!(bed.parked(), 0.0);
    bed.is_answered("/a").await;
    bed.pass(SILENCE * 2).await;
    assert_eq!(bed.parked(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn silence_and_heads_that_drip_have_one_time() {
    for asks in [true, false] {
        for first in ["", "\r\n", "G"] {
            let mut bed = bed(ROOM);
            if asks {
                bed.send(&get("/a")).await;
                bed.is_answered("/a").await;
            }
            bed.pass(SILENCE * 5).await;
            assert_eq!(bed.parked(), 1.0);
            for _ in 0..6 {
                bed.send(first).await;
                bed.pass(SILENCE * 4 - SILENCE / 5).await;
                assert!(!bed.server.is_finished(), "{first:?}");
                assert_eq!(bed.parked(), if first.is_empty() { 1.0 } else { 0.0 });
            }
            bed.pass(SILENCE * 3).await;
            assert!(bed.server.is_finished(), "{first:?}");
            bed.is_closed().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_and_a_client_that_leaves_end_it() {
    for drain in [true, false] {
        let mut bed = bed(ROOM);
        bed.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na").await;
        bed.is_answered("/a").await;
        bed.pass(SILENCE * 2).await;
        assert_eq!(bed.parked(), 1.0);
        if drain {
            bed.draining.begin();
        } else {
            bed.client.shutdown().await.unwrap();
        }
        let before = Instant::now();
        bed.is_closed().await;
        assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits for the rest of a body that is through");
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_drain_is_answered() {
    let mut bed = bed(ROOM);
    bed.send(&get("/a")).await;
    bed.is_answered("/a").await;
    bed.pass(SILENCE * 2).await;
    assert_eq!(bed.parked(), 1.0);
    bed.send(&get("/b")).await;
    bed.draining.begin();
    bed.is_answered("/b").await;
    bed.is_closed().await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_is_none_of_it() {
    let mut bed = bed(ROOM);
    bed.send(&get("/a")).await;
    bed.is_answered("/a").await;
    bed.pass(SILENCE * 2).await;
    assert_eq!(bed.parked(), 1.0);
    bed.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello").await;
    let head = bed.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    bed.reads("hello").await;
    bed.pass(SILENCE * 5).await;
    assert_eq!(bed.parked(), 0.0);
    bed.send("still there").await;
    bed.reads("still there").await;
}

#[cfg(feature = "tls")]
#[tokio::test(start_paused = true)]
async fn within_tls_nothing_is_lost_either() {
    use crate::edge::tls::{Certificate, Certificates, Tls, TlsConfig};

    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    let certificate =
        Certificate::from_pem(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap();
    let tls = Tls::new(Certificates::new([certificate]).unwrap(), TlsConfig::default()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let (client, server) = duplex(ROOM);
    let (client, server) =
        tokio::join!(connector.connect("a".try_into().unwrap(), client), tls.accept(server));
    let mut bed = Bed::new(client.unwrap(), server.unwrap().0);
    for paths in [["/a", "/b"], ["/c", "/d"]] {
        // A record each, which are there at once.
        for path in paths {
            bed.client.write_all(get(path).as_bytes()).await.unwrap();
        }
        bed.client.flush().await.unwrap();
        for path in paths {
            bed.is_answered(path).await;
        }
        assert_eq!(bed.parked(), 0.0);
        bed.pass(SILENCE * 2).await;
        assert_eq!(bed.parked(), 1.0);
    }
    bed.draining.begin();
    bed.is_closed().await;
}
