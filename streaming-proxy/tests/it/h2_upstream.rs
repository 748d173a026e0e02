//! HTTP/2 to upstreams: what they may say, in raw frames, and what becomes of requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tower::ServiceExt;
use tramline_streaming_proxy::config::{HostHeader, HttpVersion, Timeouts};
use tramline_streaming_proxy::{
    ErrorKind, Forwarder, ProxyConfig, Route, Routes, Stage, Upstream, UpstreamConfig,
};

use crate::client::{Client, get, once};
use crate::h2_server::h2c;
use crate::h2client::{H2, next, request, send_all};
use crate::h2raw::{
    CANCEL, DATA, END_STREAM, Frame, GOAWAY, HEADERS, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, RST_STREAM,
    Raw, SETTINGS,
};
use crate::origin::{Front, listen, raw, soon};

pub(crate) fn http2() -> UpstreamConfig {
    let mut config = UpstreamConfig::default();
    config.version = HttpVersion::Http2;
    config
}

pub(crate) async fn front(upstreams: &[SocketAddr], config: UpstreamConfig) -> Front {
    Front::with(upstreams, config, Timeouts::default(), ProxyConfig::default()).await
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// The next request, whose stream it returns; `None` when the client has ended.
async fn asked(raw: &mut Raw) -> Option<Frame> {
    raw.until(HEADERS).await
}

pub(crate) async fn answer(raw: &mut Raw, stream: u32) {
    raw.headers(stream, 0, &[(":status", "200")]).await;
    raw.send(DATA, END_STREAM, stream, b"fine").await;
}

async fn reset(raw: &mut Raw, stream: u32, code: u32) {
    raw.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
}

async fn goodbye(raw: &mut Raw, last: u32) {
    raw.send(GOAWAY, 0, 0, &[last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat()).await;
}

/// An upstream that answers all.
pub(crate) async fn fine(stream: TcpStream) {
    let mut raw = Raw::server(stream, &[]).await;
    while let Some(request) = asked(&mut raw).await {
        answer(&mut raw, request.stream).await;
    }
}

#[tokio::test]
async fn requests_share_a_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let origin = raw({
        let connections = connections.clone();
        move |stream, _| {
            connections.fetch_add(1, Ordering::SeqCst);
            async move {
                let mut raw = Raw::server(stream, &[]).await;
                // Three at once, answered in another order.
                let mut streams = Vec::new();
                for _ in 0..3 {
                    streams.push(asked(&mut raw).await.unwrap().stream);
                }
                for stream in streams.iter().rev() {
                    answer(&mut raw, *stream).await;
                }
                raw.until(HEADERS).await;
            }
        }
    })
    .await;
    let front = front(&[origin], http2()).await;
    let (a, b, c) = tokio::join!(get(front.addr, "/"), get(front.addr, "/"), get(front.addr, "/"));
    assert_eq!([a.text(), b.text(), c.text()], ["fine"; 3]);
    assert_eq!(connections.load(Ordering::SeqCst), 1, "many who find none open one");
}

#[tokio::test]
async fn another_connection_when_the_streams_run_out_and_no_more_than_may_be() {
    // Scenario: an upstream that allows one stream a connection. Two may be open: the third request waits, and is
    // served by what gets free; the fourth is told when its time is over.
    let arrived = Arc::new(Semaphore::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let connections = Arc::new(AtomicUsize::new(0));
    let origin = raw({
        let (arrived, gate, connections) = (arrived.clone(), gate.clone(), connections.clone());
        move |stream, _| {
            let (arrived, gate) = (arrived.clone(), gate.clone());
            connections.fetch_add(1, Ordering::SeqCst);
            async move {
                let mut raw = Raw::server(stream, &[(3, 1)]).await;
                while let Some(request) = asked(&mut raw).await {
                    arrived.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                    answer(&mut raw, request.stream).await;
                }
            }
        }
    })
    .await;
    let mut config = http2();
    config.http2.max_connections = 2;
    config.max_wait = Duration::from_secs(2);
    let front = front(&[origin], config).await;
    let mut clients = Vec::new();
    for n in 1..=2 {
        let mut client = Client::connect(front.addr).await;
        client.send(POST).await;
        soon("arrived", arrived.acquire()).await.unwrap().forget();
        assert_eq!(connections.load(Ordering::SeqCst), n);
        clients.push(client);
    }
    let answer = once(front.addr, POST).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "nothing is free");
    let asked = http::Request::post("http://a/").body(String::new()).unwrap();
    let error = front.forwarder.clone().oneshot(asked).await.unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Overloaded, Stage::Queue));
    let mut third = Client::connect(front.addr).await;
    third.send(POST).await;
    gate.add_permits(3);
    for client in clients.iter_mut().chain([&mut third]) {
        assert_eq!(client.answer().await.text(), "fine");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refused_stream_was_not_sent_and_goes_elsewhere() {
    let refused = Arc::new(AtomicUsize::new(0));
    let refuses = raw({
        let refused = refused.clone();
        move |stream, _| {
            let refused = refused.clone();
            async move {
                let mut raw = Raw::server(stream, &[]).await;
                while let Some(request) = asked(&mut raw).await {
                    refused.fetch_add(1, Ordering::SeqCst);
                    reset(&mut raw, request.stream, REFUSED_STREAM).await;
                }
            }
        }
    })
    .await;
    let takes = raw(|stream, _| fine(stream)).await;
    let front = front(&[refuses, takes], http2()).await;
    // A POST may not be repeated, and this is no repetition.
    for _ in 0..8 {
        assert_eq!(once(front.addr, POST).await.text(), "fine");
    }
    assert!(refused.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn with_one_address_a_refused_stream_is_tried_there_again_and_not_for_ever() {
    let seen = Arc::new(AtomicUsize::new(0));
    for (refusals, status) in [(1, 200), (1000, 502)] {
        let origin = raw({
            let seen = seen.clone();
            seen.store(0, Ordering::SeqCst);
            move |stream, _| {
                let seen = seen.clone();
                async move {
                    let mut raw = Raw::server(stream, &[]).await;
                    while let Some(request) = asked(&mut raw).await {
                        if seen.fetch_add(1, Ordering::SeqCst) < refusals {
                            reset(&mut raw, request.stream, REFUSED_STREAM).await;
                        } else {
                            answer(&mut raw, request.stream).await;
                        }
                    }
                }
            }
        })
        .await;
        let front = front(&[origin], http2()).await;
        assert_eq!(once(front.addr, POST).await.status, status);
        assert!(seen.load(Ordering::SeqCst) <= 3, "{}", seen.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    // Scenario: a connection that breaks under a request, which the upstream may have carried out.
    for (method, status, times) in [("POST", 502, 2), ("GET", 200, 3)] {
        let seen = Arc::new(AtomicUsize::new(0));
        let origin = raw({
            let seen = seen.clone();
            move |stream, _| {
                let seen = seen.clone();
                async move {
                    let mut raw = Raw::server(stream, &[]).await;
                    let first = asked(&mut raw).await.unwrap().stream;
                    seen.fetch_add(1, Ordering::SeqCst);
                    answer(&mut raw, first).await;
                    asked(&mut raw).await;
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await;
        let front = front(&[origin], http2()).await;
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(once(front.addr, &request).await.text(), "fine");
        assert_eq!(once(front.addr, &request).await.status, status, "{method}");
        assert_eq!(seen.load(Ordering::SeqCst), times, "{method}");
    }
}

#[tokio::test]
async fn a_reset_is_asked_again_once_where_there_is_no_room_for_another_connection() {
    // Scenario: a handler that panics, for each request anew (Go answers so), on the only connection that may be.
    let seen = Arc::new(AtomicUsize::new(0));
    let origin = raw({
        let seen = seen.clone();
        move |stream, _| {
            let seen = seen.clone();
            async move {
                let mut raw = Raw::server(stream, &[]).await;
                let first = asked(&mut raw).await.unwrap().stream;
                answer(&mut raw, first).await;
                while let Some(request) = asked(&mut raw).await {
                    seen.fetch_add(1, Ordering::SeqCst);
                    raw.send(RST_STREAM, 0, request.stream, &2_u32.to_be_bytes()).await;
                }
            }
        }
    })
    .await;
    let mut config = http2();
    config.http2.max_connections = 1;
    let front = front(&[origin], config).await;
    assert_eq!(get(front.addr, "/").await.text(), "fine");
    assert_eq!(get(front.addr, "/").await.status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_a_goodbye_leaves_out_goes_to_a_new_connection_and_the_rest_ends_where_it_is() {
    // Scenario: a server that restarts. It answers what it has begun, and says what it has not (RFC 9113, 6.8).
    let held = Arc::new(Notify::new());
    let origin = raw({
        let held = held.clone();
        move |stream, connection| {
            let held = held.clone();
            async move {
                if connection > 0 {
                    return fine(stream).await;
                }
                let mut raw = Raw::server(stream, &[]).await;
                let first = asked(&mut raw).await.unwrap().stream;
                held.notify_one();
                let second = asked(&mut raw).await.unwrap().stream;
                assert!(second > first);
                goodbye(&mut raw, first).await;
                held.notified().await;
                raw.headers(first, 0, &[(":status", "200")]).await;
                raw.send(DATA, END_STREAM, first, b"from before").await;
                // Nothing more is asked of it.
                assert!(asked(&mut raw).await.is_none());
            }
        }
    })
    .await;
    let front = front(&[origin], http2()).await;
    let mut first = Client::connect(front.addr).await;
    first.send(POST).await;
    soon("begun", held.notified()).await;
    assert_eq!(once(front.addr, POST).await.text(), "fine");
    assert_eq!(once(front.addr, POST).await.text(), "fine");
    held.notify_one();
    assert_eq!(first.answer().await.text(), "from before");
}

#[tokio::test]
async fn a_reset_is_told_as_what_it_is() {
    let read = Arc::new(Notify::new());
    let origin = raw({
        let read = read.clone();
        move |stream, _| {
            let read = read.clone();
            async move {
                let mut raw = Raw::server(stream, &[]).await;
                let first = asked(&mut raw).await.unwrap().stream;
                reset(&mut raw, first, INTERNAL_ERROR).await;
                let second = asked(&mut raw).await.unwrap().stream;
                raw.headers(second, 0, &[(":status", "200"), ("content-length", "10")]).await;
                raw.send(DATA, 0, second, b"half").await;
                read.notified().await;
                reset(&mut raw, second, INTERNAL_ERROR).await;
                asked(&mut raw).await;
            }
        }
    })
    .await;
    let front = front(&[origin], http2()).await;
    let answer = once(front.addr, POST).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("proxy-status"), Some("tramline; error=connection_terminated"));
    let mut client = Client::connect(front.addr).await;
    client.send(POST).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.exactly(4).await.unwrap(), b"half");
    read.notify_one();
    assert!(client.is_ended().await, "and nobody takes it for the whole");
}

#[tokio::test]
async fn an_answer_that_is_none_is_502() {
    let origin = raw(|stream, _| async move {
        let mut raw = Raw::server(stream, &[]).await;
        while let Some(request) = asked(&mut raw).await {
            raw.headers(request.stream, 0, &[(":status", "200"), ("connection", "close")]).await;
        }
    })
    .await;
    let front = front(&[origin], http2()).await;
    let answer = once(front.addr, POST).await;
    assert_eq!(
        (answer.status, answer.header("proxy-status")),
        (502, Some("tramline; error=http_protocol_error"))
    );
    // What speaks HTTP/1.1 only, too.
    let old = crate::origin::real(|_| async { http::Response::new(String::new()) }).await;
    let front = self::front(&[old], http2()).await;
    assert_eq!(once(front.addr, POST).await.status, 502);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_pings_is_gone() {
    let origin = raw(|stream, connection| async move {
        if connection > 0 {
            return fine(stream).await;
        }
        let mut raw = Raw::server(stream, &[]).await;
        // It reads all, and says nothing.
        while raw.next().await.is_some() {}
    })
    .await;
    let mut config = http2();
    config.http2.ping_interval = Some(Duration::from_millis(500));
    config.http2.ping_timeout = Duration::from_millis(500);
    let front = front(&[origin], config).await;
    assert_eq!(once(front.addr, POST).await.status, 502);
    assert_eq!(once(front.addr, POST).await.text(), "fine", "and another connection is opened");
}

#[tokio::test]
async fn a_connection_without_streams_is_let_go() {
    let ended = Arc::new(Notify::new());
    let origin = raw({
        let ended = ended.clone();
        move |stream, _| {
            let ended = ended.clone();
            async move {
                fine(stream).await;
                ended.notify_one();
            }
        }
    })
    .await;
    let mut config = http2();
    config.idle_timeout = Duration::from_millis(50);
    let front = front(&[origin], config).await;
    assert_eq!(once(front.addr, POST).await.text(), "fine");
    soon("the connection's end", ended.notified()).await;
    assert_eq!(once(front.addr, POST).await.text(), "fine");
}

#[tokio::test]
async fn an_upload_whose_client_leaves_is_reset_though_the_upstream_does_not_read() {
    // Scenario: the upstream's window is shut, so that nothing more can be written, and nobody waits for the answer.
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let origin = raw(move |stream, _| {
        let tell = tell.clone();
        async move {
            let mut raw = Raw::server(stream, &[(4, 0)]).await;
            let request = asked(&mut raw).await.unwrap();
            tell.send(None).await.unwrap();
            let end = raw.until(RST_STREAM).await.unwrap();
            tell.send(Some((end.stream == request.stream, end.code()))).await.unwrap();
            raw.until(SETTINGS).await;
        }
    })
    .await;
    let upstream = Upstream::new("test", [origin.to_string()], http2()).unwrap();
    let routes = Routes::new([Route::new("/", upstream)]).unwrap();
    let front = Front::serving(Forwarder::new(ProxyConfig::default(), routes), h2c()).await;
    let client = H2::connect(front.addr).await;
    let (answer, mut stream) = client.begin(request("POST", "/"), true).await;
    // More than the window that there is before the upstream says otherwise.
    send_all(&mut stream, vec![b'x'; 200_000].into(), false).await;
    assert_eq!(soon("the head", told.recv()).await, Some(None));
    stream.send_reset(h2::Reason::CANCEL);
    drop(answer);
    assert_eq!(soon("the reset", told.recv()).await, Some(Some((true, CANCEL))));
}

#[tokio::test]
async fn an_upload_that_waits_for_its_window_is_reset_when_its_answer_is_over() {
    // Scenario: the head of the answer has come while the window is shut, so that hyper waits for the window and for
    // nothing else. Then the client leaves; or the answer is whole, and nobody wants the rest of the upload.
    for leaves in [true, false] {
        let (tell, mut told) = tokio::sync::mpsc::channel(1);
        let origin = raw(move |stream, _| {
            let tell = tell.clone();
            async move {
                let mut raw = Raw::server(stream, &[(4, 0)]).await;
                let request = asked(&mut raw).await.unwrap();
                raw.headers(request.stream, 0, &[(":status", "200")]).await;
                raw.send(DATA, if leaves { 0 } else { END_STREAM }, request.stream, b"early").await;
                let end = raw.until(RST_STREAM).await.unwrap();
                tell.send((end.stream == request.stream, end.code())).await.unwrap();
                raw.until(SETTINGS).await;
            }
        })
        .await;
        let upstream = Upstream::new("test", [origin.to_string()], http2()).unwrap();
        let routes = Routes::new([Route::new("/", upstream)]).unwrap();
        let front = Front::serving(Forwarder::new(ProxyConfig::default(), routes), h2c()).await;
        let client = H2::connect(front.addr).await;
        let (answer, mut stream) = client.begin(request("POST", "/"), true).await;
        send_all(&mut stream, vec![b'x'; 200_000].into(), false).await;
        let mut body = soon("the head", answer).await.unwrap().into_body();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "early");
        if leaves {
            stream.send_reset(h2::Reason::CANCEL);
        }
        assert_eq!(soon("the reset", told.recv()).await, Some((true, CANCEL)), "leaves: {leaves}");
    }
}

#[tokio::test]
async fn the_authority_is_the_host() {
    for (host, wanted) in [(HostHeader::Preserve, Some("a.example:81")), (HostHeader::Upstream, None)] {
        let (listener, addr) = listen().await;
        let origin = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            respond.send_response(http::Response::new(()), true).unwrap();
            let uri = request.uri().to_string();
            let fields = ["host", "connection", "te", "transfer-encoding"];
            let fields = fields.map(|name| request.headers().get(name).cloned());
            while connection.accept().await.is_some() {}
            (uri, fields)
        });
        let mut proxy = ProxyConfig::default();
        proxy.host = host;
        let front = Front::with(&[addr], http2(), Timeouts::default(), proxy).await;
        let asked = "GET /a?b HTTP/1.1\r\nHost: a.example:81\r\nTE: trailers, deflate\r\nConnection: te, x\r\nX: y\r\n\r\n";
        assert_eq!(once(front.addr, asked).await.status, 200);
        drop(front);
        let (uri, fields) = soon("the origin", origin).await.unwrap();
        let authority = wanted.map_or(addr.to_string(), ToOwned::to_owned);
        assert_eq!(uri, format!("http://{authority}/a?b"));
        assert_eq!(fields, [None, None, Some("trailers".parse().unwrap()), None]);
    }
}
