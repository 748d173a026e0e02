//! What an error says, and what its answer does.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Service, ServiceBuilder, ServiceExt};
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::respond::Inbound;
use tramline_streaming_proxy::{
    ErrorKind, ProxyBody, ProxyConfig, ProxyError, Sent, Side, Stage, UpstreamConfig,
};

use crate::client::{Client, get, once, read_head};
use crate::origin::{Front, listen, nowhere, raw, real, soon};

/// One piece, and then nothing for ever.
struct Stuck(Option<&'static [u8]>);

impl http_body::Body for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(piece) => std::task::Poll::Ready(Some(Ok(Frame::data(piece.into())))),
            None => std::task::Poll::Pending,
        }
    }
}

/// What the forwarder makes of `request`, whatever time that takes.
async fn fails<B>(upstream: std::net::SocketAddr, request: Request<B>) -> ProxyError
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fails_within(upstream, Timeouts::default(), request).await
}

async fn fails_within<B>(
    upstream: std::net::SocketAddr,
    timeouts: Timeouts,
    request: Request<B>,
) -> ProxyError
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let front = Front::timed(upstream, timeouts).await;
    soon("the error", front.forwarder.clone().oneshot(request)).await.unwrap_err()
}

fn said(error: &ProxyError) -> (ErrorKind, Stage, Side, Sent) {
    (error.kind(), error.stage(), error.side(), error.sent())
}

#[tokio::test]
async fn each_failure_says_stage_side_and_how_much_was_sent() {
    let (_held, away) = nowhere();
    // Reads all that comes, and says nothing.
    let silent = raw(|mut stream, _| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let closes = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
    })
    .await;
    let nonsense = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await;
    })
    .await;
    let get = |path: &str| Request::get(path).header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    let post = || Request::post("/").header("host", "a");

    let error = fails(away, get("/../x")).await;
    assert_eq!(said(&error), (ErrorKind::BadRequest, Stage::Receive, Side::Client, Sent::Not));
    let error = fails(away, get("/")).await;
    assert_eq!(said(&error), (ErrorKind::ConnectFailed, Stage::Connect, Side::Upstream, Sent::Not));
    assert!(error.is_retryable());
    let error = fails(closes, get("/")).await;
    assert_eq!(said(&error), (ErrorKind::Closed, Stage::Head, Side::Upstream, Sent::Fully));
    assert!(!error.is_retryable());
    let error = fails(nonsense, get("/")).await;
    assert_eq!(said(&error), (ErrorKind::BadResponse, Stage::Head, Side::Upstream, Sent::Fully));
    // Behind what is sent, which has no limit here but the one for all.
    let mut silence = Timeouts::default();
    silence.response_header = Some(Duration::from_millis(50));
    let error = fails_within(silent, silence.clone(), get("/")).await;
    assert_eq!(said(&error), (ErrorKind::ResponseTimeout, Stage::Head, Side::Upstream, Sent::Fully));
    let whole = post().body(Full::new(Bytes::from_static(b"whole"))).unwrap();
    let error = fails_within(silent, silence.clone(), whole).await;
    assert_eq!(said(&error), (ErrorKind::ResponseTimeout, Stage::Head, Side::Upstream, Sent::Fully));
    // The client is the one that is waited for, until the time for all is over.
    silence.total = Some(Duration::from_secs(2));
    let error = fails_within(silent, silence, post().body(Stuck(Some(b"part"))).unwrap()).await;
    assert_eq!(said(&error), (ErrorKind::TotalTimeout, Stage::Send, Side::Proxy, Sent::Partly));
    let limited = Limited::new(Full::new(Bytes::from_static(b"more than four")), 4);
    let error = fails(silent, post().body(limited).unwrap()).await;
    assert_eq!(said(&error), (ErrorKind::BodyTooLarge, Stage::Send, Side::Client, Sent::Partly));

    let mut forwarder = Front::new(silent).await.forwarder.clone();
    forwarder.set_routes(tramline_streaming_proxy::Routes::default());
    let error = forwarder.call(get("/")).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::NoRoute, Stage::Route, Side::Client, Sent::Not));
}

#[tokio::test]
async fn what_an_earlier_try_has_sent_is_not_forgotten() {
    // Scenario: the upstream reads a request on a kept connection, and is gone. The new connection is refused, so that
    // this try has sent nothing; but the request was there.
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        read_head(&mut stream, &mut buffer).await.unwrap();
    });
    let front = Front::new(addr).await;
    let request = || Request::get("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(front.forwarder.clone().oneshot(request()).await.unwrap().status(), 200);
    let error = soon("the error", front.forwarder.clone().oneshot(request())).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::ConnectFailed, Stage::Connect, Side::Upstream, Sent::Fully));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_request_that_waits_for_its_turn_was_not_sent() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await;
        std::future::pending().await
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.max_in_flight = 1;
    config.max_wait = Duration::from_millis(10);
    let front = Front::with(&[upstream], config, Timeouts::default(), ProxyConfig::default()).await;
    let request =
        || Request::post("/").header("host", "a").body(Full::new(Bytes::from_static(b"b"))).unwrap();
    let held = front.forwarder.clone().oneshot(request()).await.unwrap();
    let error = soon("the error", front.forwarder.clone().oneshot(request())).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Overloaded, Stage::Queue, Side::Proxy, Sent::Not));
    assert!(error.is_retryable());
    drop(held);
}

#[tokio::test]
async fn a_body_that_breaks_off_says_so_too() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await;
    })
    .await;
    let front = Front::new(upstream).await;
    let request = Request::get("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    let response = front.forwarder.clone().oneshot(request).await.unwrap();
    let error = soon("the end", response.into_body().collect()).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Truncated, Stage::Body, Side::Upstream, Sent::Fully));
}

#[tokio::test]
async fn a_client_that_leaves_and_one_that_talks_nonsense_are_told_apart() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let upstream = raw(|mut stream, _| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let front = Front::new(upstream).await;
    let layer = RespondLayer::with({
        let seen = seen.clone();
        move |error: &ProxyError, _: &Inbound| {
            seen.lock().unwrap().push((error.kind(), error.sent()));
            let mut response = Response::new(ProxyBody::empty());
            *response.status_mut() = error.status();
            response
        }
    });
    let service = ServiceBuilder::new().layer(layer).service(front.forwarder.clone());
    let (listener, addr) = listen().await;
    let server = tokio::spawn(tramline_streaming_proxy::server::serve(
        listener,
        service,
        tramline_streaming_proxy::server::ServerConfig::default(),
        std::future::pending(),
    ));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(once(addr, &format!("{head}3\r\nabc\r\nzz\r\n")).await.status, 400);
    let mut client = Client::connect(addr).await;
    client.send(format!("{head}3\r\nabc\r\n")).await;
    client.stream.shutdown().await.unwrap();
    assert!(client.try_answer().await.is_none_or(|answer| answer.status == 499));
    assert_eq!(
        *seen.lock().unwrap(),
        [(ErrorKind::ClientBody, Sent::Partly), (ErrorKind::ClientGone, Sent::Partly)]
    );
    server.abort();
}

#[tokio::test]
async fn answers_carry_what_all_of_them_need() {
    let (_held, away) = nowhere();
    let front = Front::new(away).await;
    let answer = get(front.addr, "/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("proxy-status"), Some("tramline; error=connection_refused"));
    let answer = get(front.addr, "/./").await;
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    assert_eq!(answer.header("proxy-status"), Some("tramline; error=http_request_error"));

    // Whoever writes the answer, and under any name.
    let gone = |_: &ProxyError, inbound: &Inbound| {
        Response::builder().status(StatusCode::GONE).body(inbound.uri.path().to_owned().into()).unwrap()
    };
    for (name, item) in
        [("edge-1", "edge-1; error=connection_refused"), ("1", "\"1\"; error=connection_refused")]
    {
        let layer = RespondLayer::with(gone).named(name);
        let service = ServiceBuilder::new().layer(layer).service(front.forwarder.clone());
        let request = Request::get("/p").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::GONE);
        assert_eq!(response.headers()["proxy-status"], item);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "/p");
    }
}

#[tokio::test]
async fn what_is_whole_and_well_passes_unanswered() {
    let upstream =
        real(|_| async { Response::builder().status(503).body(Empty::<Bytes>::new()).unwrap() }).await;
    let answer = get(Front::new(upstream).await.addr, "/").await;
    assert_eq!(
        (answer.status, answer.header("proxy-status"), answer.header("retry-after")),
        (503, None, None)
    );
}

#[tokio::test]
async fn fields_that_are_too_large_are_431() {
    let upstream = real(|_| async { Response::new(Empty::<Bytes>::new()) }).await;
    let mut config = ProxyConfig::default();
    config.max_head = 100;
    let front = Front::with(&[upstream], UpstreamConfig::default(), Timeouts::default(), config).await;
    let with = |length| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "z".repeat(length));
    // `host` and `a` and `x`, and the rest.
    assert_eq!(once(front.addr, &with(94)).await.status, 200);
    let answer = once(front.addr, &with(95)).await;
    assert_eq!((answer.status, answer.code().as_str()), (431, "HEAD_TOO_LARGE"));
}
