//! Requests in a closed loop over streams of HTTP/2: by ALPN within TLS, by prior knowledge without.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Request, Version};
use measure::Latency;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::meter::Meter;
use super::report::Report;
use super::{SMALL, SMALL_PATH, Target, request, wire};
use crate::clock::Instant;

/// Streams of one connection: what browsers open for a page.
const STREAMS: usize = 16;

/// Windows that never close: the answers are small, and flow control is not what is measured.
const WINDOW: u32 = 16 << 20;

/// A proxy that answers nobody for so long hangs.
const SILENCE: Duration = Duration::from_secs(10);

/// What the streams count, once it counts.
#[derive(Default)]
struct Counts {
    measured: Cell<bool>,
    over: Cell<bool>,
    answers: Cell<u64>,
    latency: RefCell<Latency>,
}

/// One connection, shared by its streams.
#[derive(Clone)]
struct Connection {
    sender: SendRequest<Bytes>,
    scheme: &'static str,
}

/// Runs it, with so many streams in all.
///
/// # Errors
///
/// If any answer is not the right one, or there is none.
pub(super) fn run(
    target: &Target,
    streams: usize,
    warmup: Duration,
    measured: Duration,
) -> anyhow::Result<Report> {
    let tls = tls(target)?;
    LocalSet::new().block_on(&runtime()?, async {
        let counts = Rc::new(Counts::default());
        // A minute at the rate of the fastest proxy fits.
        *counts.latency.borrow_mut() = Latency::with_capacity(1 << 21);
        let mut loops = Vec::new();
        let mut connection = None;
        for number in 0..streams {
            if number % STREAMS == 0 {
                connection = Some(Connection::open(target, tls.clone()).await?);
            }
            let connection = connection.clone().context("no connection")?;
            loops.push(tokio::task::spawn_local(go_round(connection, counts.clone())));
        }
        tokio::time::sleep(warmup).await;
        let meter = Meter::start(target.process)?;
        counts.measured.set(true);
        tokio::time::sleep(measured).await;
        counts.measured.set(false);
        let answers = counts.answers.get();
        let mut report = meter.finish(answers, answers * SMALL as u64)?;
        counts.over.set(true);
        for one in loops {
            one.await??;
        }
        ensure!(answers > 0, "no answer in {measured:?}");
        report.latency = Some(counts.latency.take().percentiles());
        Ok(report)
    })
}

/// The body of one answer.
///
/// # Errors
///
/// If it is not 200.
pub(super) fn body(target: &Target, path: &str) -> anyhow::Result<Vec<u8>> {
    let tls = tls(target)?;
    LocalSet::new().block_on(&runtime()?, async { Connection::open(target, tls).await?.ask(path).await })
}

/// One stream after the other.
async fn go_round(mut connection: Connection, counts: Rc<Counts>) -> anyhow::Result<()> {
    while !counts.over.get() {
        let asked = Instant::now();
        let body = timeout(SILENCE, connection.ask(SMALL_PATH)).await.context("no answer")??;
        ensure!(body.len() == SMALL, "an answer of {} bytes", body.len());
        if counts.measured.get() {
            counts.answers.set(counts.answers.get() + 1);
            counts.latency.borrow_mut().add(asked.elapsed());
        }
    }
    Ok(())
}

// === impl Connection ===

impl Connection {
    async fn open(target: &Target, tls: Option<Arc<ClientConfig>>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.addr).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Self { sender: handshake(stream).await?, scheme: "http" }) };
        let stream = TlsConnector::from(tls).connect(wire::name()?, stream).await.context("no TLS")?;
        let chosen = stream.get_ref().1.alpn_protocol();
        ensure!(chosen == Some(b"h2"), "the proxy does not choose HTTP/2");
        Ok(Self { sender: handshake(stream).await?, scheme: "https" })
    }

    /// The body of an answer.
    async fn ask(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        std::future::poll_fn(|cx| self.sender.poll_ready(cx)).await.context("no stream")?;
        let uri = format!("{}://{}{path}", self.scheme, request::HOST);
        let mut request = Request::get(uri).version(Version::HTTP_2);
        for (name, value) in request::fields() {
            request = request.header(name, value);
        }
        let (answer, _) = self.sender.send_request(request.body(())?, true)?;
        let answer = answer.await?;
        ensure!(answer.status() == 200, "answered with {}", answer.status());
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

fn tls(target: &Target) -> anyhow::Result<Option<Arc<ClientConfig>>> {
    target.tls.as_deref().map(|folder| wire::client(folder, &[b"h2"])).transpose()
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> anyhow::Result<SendRequest<Bytes>> {
    let mut builder = client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
    let (sender, connection) = builder.handshake(stream).await.context("no HTTP/2")?;
    // Whoever asks finds out that it has ended.
    tokio::task::spawn_local(connection);
    Ok(sender)
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("a runtime")
}
