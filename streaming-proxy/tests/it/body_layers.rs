//! Bodies that are too long, and bodies that come too slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceBuilder};
use tramline_streaming_proxy::config::ProxyConfig;
use tramline_streaming_proxy::edge::MinRate;
use tramline_streaming_proxy::layer::body_limit::BodyLimitLayer;
use tramline_streaming_proxy::layer::body_rate::BodyRateLayer;
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Answer, Client, read_head};
use crate::h2raw::{DATA, END_STREAM, NO_ERROR, RST_STREAM, Raw};
use crate::origin::{listen, raw, soon};

/// An upstream that reads to the end of a chunked body, or the connection's, and then answers.
#[derive(Clone, Default)]
struct Sink {
    requests: Arc<AtomicUsize>,
    broken: Arc<Ended>,
}

struct Ended(Semaphore);

impl Default for Ended {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Sink {
    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        let head = read_head(&mut stream, &mut buffer).await.unwrap_or_default();
        self.requests.fetch_add(1, Ordering::SeqCst);
        let whole = |body: &[u8]| {
            let chunked = head.to_ascii_lowercase().contains("transfer-encoding");
            if chunked { body.ends_with(b"0\r\n\r\n") } else { body.len() >= 10 }
        };
        while !whole(&buffer) {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                self.broken.0.add_permits(1);
                return;
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    }
}

/// A proxy with `layer` between its answers and its forwarder.
async fn front<L>(layer: L, sink: &Sink) -> std::net::SocketAddr
where
    L: Layer<Forwarder>,
    L::Service: tower::Service<
            http::Request<RequestBody>,
            Response = http::Response<tramline_streaming_proxy::ProxyBody>,
            Error = tramline_streaming_proxy::ProxyError,
            Future: Send,
        > + Clone
        + Send
        + 'static,
{
    let upstream = raw({
        let sink = sink.clone();
        move |stream, _| sink.clone().serve(stream)
    })
    .await;
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let forwarder = Forwarder::new(ProxyConfig::default(), Routes::new([Route::new("/", upstream)]).unwrap());
    let service = ServiceBuilder::new().layer(RespondLayer::new()).layer(layer).service(forwarder);
    let (listener, addr) = listen().await;
    tokio::spawn(serve(listener, service, ServerConfig::default(), std::future::pending()));
    addr
}

async fn post(addr: std::net::SocketAddr, rest: &str) -> Answer {
    let mut client = Client::connect(addr).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}")).await;
    client.answer().await
}

#[tokio::test]
async fn a_stated_length_beyond_the_limit_is_413_before_anything_is_sent() {
    let sink = Sink::default();
    let addr = front(BodyLimitLayer::new(10), &sink).await;
    for rest in ["Content-Length: 11\r\n\r\n", "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"] {
        let answer = post(addr, rest).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "BODY_TOO_LARGE"), "and no 100 before it");
    }
    assert_eq!(sink.requests.load(Ordering::SeqCst), 0);
    assert_eq!(post(addr, "Content-Length: 10\r\n\r\n0123456789").await.status, 200);
}

#[tokio::test]
async fn a_body_that_grows_beyond_the_limit_is_413() {
    let sink = Sink::default();
    let addr = front(BodyLimitLayer::new(10), &sink).await;
    let chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n";
    assert_eq!(post(addr, &format!("{chunked}0\r\n\r\n")).await.status, 200);
    let answer = post(addr, &format!("{chunked}1\r\nx\r\n0\r\n\r\n")).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "BODY_TOO_LARGE"));
    soon("the upstream sees a request that broke off", sink.broken.0.acquire()).await.unwrap().forget();
}

#[tokio::test]
async fn a_dripping_body_is_cut() {
    let sink = Sink::default();
    let rate = MinRate::new(1_000_000, Duration::from_millis(500));
    let addr = front(BodyRateLayer::new(rate), &sink).await;
    assert_eq!(post(addr, "Content-Length: 10\r\n\r\n0123456789").await.status, 200);
    // A chunk, and then nothing: the time for silence is a minute.
    let answer = post(addr, "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQUEST_TIMEOUT"));
    soon("the upstream sees a request that broke off", sink.broken.0.acquire()).await.unwrap().forget();
}

#[tokio::test]
async fn a_reset_is_no_end_behind_any_layer() {
    // Scenario: a client of HTTP/2 takes its upload back with NO_ERROR, which hyper calls an end. Wrapped by a layer it
    // must not pass for a whole body.
    let (pass, mut passed) = tokio::sync::mpsc::channel(1);
    let service = tower::service_fn(move |request: http::Request<RequestBody>| {
        let pass = pass.clone();
        // Beside the answer, which ends with its stream.
        tokio::spawn(async move {
            let mut body = Limited::new(request.into_body(), 100);
            let begun = body.frame().await.unwrap().unwrap().into_data().unwrap();
            pass.send(Ok(begun)).await.unwrap();
            let rest = body.collect().await.map(|rest| rest.to_bytes());
            pass.send(rest.map_err(|error| error.to_string())).await.unwrap();
        });
        std::future::pending::<Result<http::Response<Empty<Bytes>>, std::convert::Infallible>>()
    });
    let (listener, addr) = listen().await;
    tokio::spawn(serve(listener, service, crate::h2_server::h2c(), std::future::pending()));
    let mut client = Raw::client(addr, &[]).await;
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    client.headers(1, 0, &post).await;
    client.send(DATA, 0, 1, b"some").await;
    assert_eq!(soon("its start", passed.recv()).await.unwrap().unwrap(), "some");
    client.send(RST_STREAM, 0, 1, &NO_ERROR.to_be_bytes()).await;
    soon("its end", passed.recv()).await.unwrap().unwrap_err();
    client.headers(3, 0, &post).await;
    client.send(DATA, 0, 3, b"some").await;
    assert_eq!(soon("its start", passed.recv()).await.unwrap().unwrap(), "some");
    client.send(DATA, END_STREAM, 3, b"more").await;
    assert_eq!(soon("its end", passed.recv()).await.unwrap().unwrap(), "more");
}
