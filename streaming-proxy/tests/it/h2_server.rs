//! HTTP/2 from clients, to upstreams of HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tramline_streaming_proxy::config::{HostHeader, Timeouts};
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Client, read_head};
use crate::h2client::{H2, H2Answer, next, request, send_all, try_whole, with};
use crate::h2raw::{
    CANCEL, END_STREAM, GET, GOAWAY, HEADERS, NO_ERROR, PING, PROTOCOL_ERROR, RST_STREAM, Raw,
};
use crate::origin::{Front, Raise, raw, real, soon};

pub(crate) fn h2c() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.h2c = true;
    config
}

pub(crate) async fn front(upstream: std::net::SocketAddr, config: ServerConfig) -> Front {
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let routes = Routes::new([Route::new("/", upstream)]).unwrap();
    Front::serving(Forwarder::new(ProxyConfig::default(), routes), config).await
}

async fn told(request: Request<Incoming>) -> Response<String> {
    let field = |name: &str| {
        let values: Vec<_> =
            request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join("|")
    };
    assert_eq!(request.version(), Version::HTTP_11);
    let names = ["x-forwarded-host", "x-forwarded-proto", "cookie", "te", "connection", "transfer-encoding"];
    Response::new(format!("{} {}", request.uri(), names.map(field).join(",")))
}

#[tokio::test]
async fn requests_share_a_connection_and_reach_the_upstream_as_http1() {
    let front = front(real(told).await, h2c()).await;
    let client = H2::connect(front.addr).await;
    let (first, second) = tokio::join!(client.get("/a?b"), client.get("/c"));
    assert_eq!((first.status.as_u16(), first.text()), (200, "/a?b a.example,http,,,,"));
    assert_eq!(second.text(), "/c a.example,http,,,,");
    // The same port still speaks HTTP/1.1, to clients that begin with it.
    for start in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"]
    {
        let mut old = Client::connect(front.addr).await;
        for byte in start.as_bytes() {
            old.send([*byte]).await;
        }
        assert_eq!(old.answer().await.status, 200, "{start}");
    }
}

#[tokio::test]
async fn without_h2c_the_preface_is_no_request() {
    let front = front(real(told).await, ServerConfig::default()).await;
    let mut client = Client::connect(front.addr).await;
    client.send(crate::h2raw::PREFACE).await;
    // hyper answers nothing to it, or 400; HTTP/2 it is not.
    assert!(soon("its end", client.try_answer()).await.is_none_or(|answer| answer.status == 400));
}

#[tokio::test]
async fn cookies_in_crumbs_become_one_field_and_te_passes() {
    let front = front(real(told).await, h2c()).await;
    let client = H2::connect(front.addr).await;
    let fields = [("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=\"4\""), ("te", "trailers")];
    let answer = client.ask(with(request("GET", "/"), &fields)).await;
    assert_eq!(answer.text(), "/ a.example,http,a=1; b=2; c=3; d=\"4\",trailers,te,");
}

#[tokio::test]
async fn a_host_is_the_authority_or_400() {
    let mut proxy = ProxyConfig::default();
    proxy.host = HostHeader::Preserve;
    let upstream = real(|request| async move {
        Response::new(format!("{:?} {}", request.headers().get("host"), request.uri()))
    })
    .await;
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let routes = Routes::new([Route::new("/", upstream)]).unwrap();
    let front = Front::serving(Forwarder::new(proxy, routes), h2c()).await;
    let client = H2::connect(front.addr).await;
    assert_eq!(client.get("/x").await.text(), "Some(\"a.example\") /x");
    let same = with(request("GET", "/"), &[("host", "a.example")]);
    assert_eq!(client.ask(same).await.status, 200);
    for hosts in [&["b.example"][..], &["a.example", "a.example"], &["a.example@b.example"]] {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let answer = client.ask(with(request("GET", "/"), &fields)).await;
        assert_eq!(answer.status, 400, "{hosts:?}");
        assert_eq!(answer.header("connection"), None, "others share the connection");
    }
    // Neither of the two (RFC 9113, 8.3.1).
    let mut raw = Raw::client(front.addr, &[]).await;
    raw.headers(1, END_STREAM, &[(":method", "GET"), (":scheme", "http"), (":path", "/")]).await;
    let head = raw.until(HEADERS).await.unwrap();
    assert!(
        String::from_utf8_lossy(&head.payload).contains("problem+json") || head.payload[0] == 0x8c,
        "400 is 0x8c"
    );
}

#[tokio::test]
async fn fields_of_a_connection_are_malformed_and_hit_nobody_else() {
    // Scenario: a request that is smuggled through a front that speaks both versions (RFC 9113, 8.2.2).
    let front = front(real(told).await, h2c()).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    let fields = [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
    ];
    for (place, field) in (0..).zip(fields) {
        let stream = 4 * place + 1;
        raw.headers(stream, END_STREAM, &[&GET[..], &[field]].concat()).await;
        let answer = raw.of(stream).await.unwrap();
        assert_eq!((answer.kind, answer.code()), (RST_STREAM, PROTOCOL_ERROR), "{field:?}");
        raw.headers(stream + 2, END_STREAM, &GET).await;
        assert_eq!(raw.of(stream + 2).await.unwrap().kind, HEADERS, "after {field:?}");
    }
}

#[tokio::test]
async fn no_tunnels_for_anybody() {
    let front = front(real(told).await, h2c()).await;
    let client = H2::connect(front.addr).await;
    let connect = Request::connect("a.example:443").body(()).unwrap();
    assert_eq!(client.ask(connect).await.status, 405);
    // RFC 8441, which was not offered.
    let mut raw = Raw::client(front.addr, &[]).await;
    let fields = [&[(":method", "CONNECT"), (":protocol", "websocket")], &GET[1..]].concat();
    raw.headers(1, 0, &fields).await;
    let answer = raw.of(1).await.unwrap();
    assert_eq!((answer.kind, answer.code()), (RST_STREAM, PROTOCOL_ERROR));
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut buffer).await {
            assert!(head.contains("\r\ntransfer-encoding: chunked\r\n") && head.contains("\r\ntrailer: x-up\r\n"));
            while !buffer.ends_with(b"0\r\nx-up: 1\r\n\r\n") {
                assert_ne!(soon("a body", stream.read_buf(&mut buffer)).await.unwrap(), 0);
            }
            let body = String::from_utf8(std::mem::take(&mut buffer)).unwrap().replace("\r\n", ";");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-down\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-down: 2\r\n\r\n",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let front = front(upstream, h2c()).await;
    let client = H2::connect(front.addr).await;
    for _ in 0..3 {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-up", HeaderValue::from_static("1"));
        let asked = with(request("POST", "/"), &[("te", "trailers"), ("trailer", "x-up")]);
        let answer = client.upload(asked, &[b"ab", b"cd"], Some(trailers)).await;
        assert_eq!(answer.text(), "2;ab;2;cd;0;x-up: 1;;");
        assert_eq!(answer.trailers.unwrap()["x-down"], "2");
    }
}

#[tokio::test]
async fn a_length_passes() {
    let upstream = real(|request: Request<Incoming>| async move {
        let length = format!("{:?} ", request.headers().get("content-length"));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(Bytes::from([length.as_bytes(), &body].concat())))
    })
    .await;
    let front = front(upstream, h2c()).await;
    let client = H2::connect(front.addr).await;
    let sized = with(request("PUT", "/"), &[("content-length", "4")]);
    assert_eq!(client.upload(sized, &[b"ab", b"cd"], None).await.text(), "Some(\"4\") abcd");
    // One that promises more than it brings is the client's fault, and of nobody else's business.
    let short = with(request("PUT", "/"), &[("content-length", "5")]);
    let (answer, mut stream) = client.begin(short, true).await;
    send_all(&mut stream, Bytes::from_static(b"four"), true).await;
    let error = try_whole(answer).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    assert_eq!(client.upload(request("PUT", "/"), &[b"ab"], None).await.text(), "None ab");
}

#[tokio::test]
async fn a_client_that_gives_up_cancels_its_request_and_no_other() {
    let gone = Arc::new(Notify::new());
    let front = front(holding(&gone).await, h2c()).await;
    let client = H2::connect(front.addr).await;
    let (answer, mut stream) = client.begin(request("GET", "/held"), false).await;
    assert_eq!(client.get("/").await.text(), "fine");
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    soon("the upstream is told", gone.notified()).await;
    assert_eq!(client.get("/").await.text(), "fine");
}

/// An upstream that does not answer for `/held`, and says when it is no longer asked.
async fn holding(gone: &Arc<Notify>) -> std::net::SocketAddr {
    let gone = gone.clone();
    raw(move |mut stream, _| {
        let gone = gone.clone();
        async move {
            let mut buffer = Vec::new();
            while let Some(head) = read_head(&mut stream, &mut buffer).await {
                if head.starts_with("GET /held ") {
                    let _ = stream.read(&mut [0]).await;
                    gone.notify_one();
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_reset() {
    let upstream = raw(|mut stream, _| async move {
        let _ = read_head(&mut stream, &mut Vec::new()).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let front = front(upstream, h2c()).await;
    let client = H2::connect(front.addr).await;
    let (answer, _) = client.begin(request("GET", "/"), false).await;
    let mut body = soon("a head", answer).await.unwrap().into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "half");
    let error = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
}

#[tokio::test]
async fn an_upload_that_stops_is_408_and_others_go_on() {
    let upstream = real(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Response::new(Full::new(body))
    })
    .await;
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let mut short = Timeouts::default();
    short.request_idle = Some(Duration::from_millis(50));
    let routes = [Route::new("/short", upstream.clone()).with_timeouts(short), Route::new("/", upstream)];
    let routes = Routes::new(routes).unwrap();
    let front = Front::serving(Forwarder::new(ProxyConfig::default(), routes), h2c()).await;
    let client = H2::connect(front.addr).await;
    let (answer, mut stream) = client.begin(request("POST", "/short"), true).await;
    send_all(&mut stream, Bytes::from_static(b"begun"), false).await;
    let slow = try_whole(answer).await.unwrap();
    assert_eq!(slow.status, 408);
    assert_eq!(client.upload(request("POST", "/"), &[b"whole"], None).await.text(), "whole");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_reset_and_others_go_on() {
    // Scenario: the windows of HTTP/2 are the client's. A stream whose window stays shut would hold an upstream's
    // connection and all buffers between for as long as the client likes, on a connection that is alive and well.
    let gone = Arc::new(Notify::new());
    let upstream = real({
        let gone = gone.clone();
        move |request: Request<Incoming>| {
            let raise = Raise(gone.clone());
            async move {
                let size = if request.uri().path() == "/large" { 8 << 20 } else { 0 };
                let body = Full::new(Bytes::from(vec![7; size])).map_frame(move |frame| {
                    let _ = &raise;
                    frame
                });
                Response::new(body)
            }
        }
    })
    .await;
    let mut config = h2c();
    config.write_timeout = Duration::from_millis(50);
    let front = front(upstream, config).await;
    let mut raw = Raw::client(front.addr, &[(4, 0)]).await;
    let large: Vec<_> = GET[..3].iter().copied().chain([(":path", "/large")]).collect();
    raw.headers(1, END_STREAM, &large).await;
    assert_eq!(raw.of(1).await.unwrap().kind, HEADERS);
    raw.headers(3, END_STREAM, &GET).await;
    // On a machine that is busy the one may end before the other is answered.
    let (mut answered, mut end) = (false, None);
    while !answered || end.is_none() {
        let frame = raw.next().await.expect("the connection goes on");
        match (frame.stream, frame.kind) {
            (3, HEADERS) => answered = true,
            (1, _) => end = Some((frame.kind, frame.code())),
            _ => {}
        }
    }
    assert_eq!(end, Some((RST_STREAM, CANCEL)));
    // The small one and the large one.
    soon("the upstream is free", gone.notified()).await;
    raw.headers(5, END_STREAM, &GET).await;
    assert_eq!(raw.of(5).await.unwrap().kind, HEADERS, "the connection goes on");
}

#[tokio::test]
async fn a_connection_without_streams_is_told_to_go() {
    let mut config = h2c();
    config.header_read_timeout = Duration::from_secs(1);
    let front = front(real(told).await, config).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    raw.headers(1, END_STREAM, &GET).await;
    assert_eq!(raw.of(1).await.unwrap().kind, HEADERS);
    let goodbye = raw.until(GOAWAY).await.unwrap();
    assert_eq!(goodbye.code(), NO_ERROR);
    assert!(raw.until(RST_STREAM).await.is_none(), "and the connection ends");
    // One that never says a word, or half of one, is cut.
    for start in [&b""[..], b"PRI * HTTP/2"] {
        let mut silent = Client::<TcpStream>::connect(front.addr).await;
        silent.send(start).await;
        assert!(silent.is_ended().await, "{start:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_gone() {
    let gone = Arc::new(Notify::new());
    let mut config = h2c();
    config.http2.ping_interval = Some(Duration::from_millis(500));
    config.http2.ping_timeout = Duration::from_millis(500);
    let front = front(holding(&gone).await, config).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    let held: Vec<_> = GET[..3].iter().copied().chain([(":path", "/held")]).collect();
    raw.headers(1, END_STREAM, &held).await;
    // It holds the connection open, reads, and says nothing.
    while raw.next().await.is_some() {}
    soon("its request is cancelled", gone.notified()).await;
}

#[tokio::test]
async fn streams_end_in_a_drain() {
    let arrived = Arc::new(Semaphore::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let upstream = real({
        let (arrived, gate) = (arrived.clone(), gate.clone());
        move |_| {
            let (arrived, gate) = (arrived.clone(), gate.clone());
            async move {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
                Response::new("done".to_owned())
            }
        }
    })
    .await;
    let mut front = front(upstream, h2c()).await;
    let client = H2::connect(front.addr).await;
    let (first, _) = client.begin(request("GET", "/"), false).await;
    let (second, _) = client.begin(request("GET", "/"), false).await;
    soon("arrived", arrived.acquire_many(2)).await.unwrap().forget();
    let mut idle = Raw::client(front.addr, &[]).await;
    front.stop.take();
    assert_eq!(idle.until(GOAWAY).await.unwrap().code(), NO_ERROR);
    drop(idle);
    // It hears that it must go, once it has heard all that is there for it.
    let refused = async {
        loop {
            match client.send.clone().ready().await {
                Err(error) => return error,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let refused = soon("goodbye", refused).await;
    assert!(refused.is_go_away() && refused.reason() == Some(Reason::NO_ERROR), "{refused:?}");
    assert!(!front.server.is_finished());
    gate.add_permits(2);
    for answer in [first, second] {
        assert_eq!(try_whole(answer).await.unwrap().text(), "done");
    }
    soon("drained", &mut front.server).await.unwrap();
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_client_that_is_silent() {
    // Scenario: two clients whose machines have vanished, which hear no goodbye; one was told to go before, since it had
    // asked for nothing for long. A third asks and hears, and gets its answer.
    let (arrived, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let upstream = real({
        let (arrived, gate) = (arrived.clone(), gate.clone());
        move |_| {
            let (arrived, gate) = (arrived.clone(), gate.clone());
            async move {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
                Response::new("done".to_owned())
            }
        }
    })
    .await;
    let mut config = h2c();
    // Far above what the test waits.
    config.write_timeout = Duration::from_secs(1000);
    config.header_read_timeout = Duration::from_secs(1);
    let mut front = front(upstream, config).await;
    let mut told = Raw::client(front.addr, &[]).await;
    assert_eq!(told.until(GOAWAY).await.unwrap().code(), NO_ERROR);
    let client = H2::connect(front.addr).await;
    let (answer, _) = client.begin(request("GET", "/"), false).await;
    soon("arrived", arrived.acquire()).await.unwrap().forget();
    let mut silent = Raw::client(front.addr, &[]).await;
    // All that it has said was heard.
    silent.send(PING, 0, 0, &[7; 8]).await;
    while silent.next().await.unwrap().kind != PING {}
    front.stop.take();
    gate.add_permits(1);
    assert_eq!(try_whole(answer).await.unwrap().text(), "done");
    soon("drained", &mut front.server).await.unwrap();
    drop((told, silent));
}

#[tokio::test]
async fn bounds_of_heads_hold() {
    let front = front(real(told).await, h2c()).await;
    let client = H2::connect(front.addr).await;
    let code = |answer: &H2Answer| {
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    };
    let answer = client.get(&format!("/{}", "a".repeat(9000))).await;
    assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (414, "URI_TOO_LONG"));
    let fields: Vec<_> = (0..101).map(|_| ("x-a", "b")).collect();
    let answer = client.ask(with(request("GET", "/"), &fields)).await;
    assert_eq!(
        (answer.status.as_u16(), code(&answer).as_str()),
        (431, "HEAD_TOO_LARGE"),
        "and not the upstream's"
    );
    // More bytes than the server said that it takes: h2 answers itself, without a body.
    let long = "b".repeat(4000);
    let fields: Vec<_> = (0..5).map(|_| ("x-a", long.as_str())).collect();
    let answer = client.ask(with(request("GET", "/"), &fields)).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (431, 0));
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let upstream = real(|_| async {
        std::future::pending::<()>().await;
        Response::new(String::new())
    })
    .await;
    let mut config = h2c();
    config.http2.max_streams = 3;
    let front = front(upstream, config).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    for stream in [1, 3, 5, 7] {
        raw.headers(stream, END_STREAM, &GET).await;
    }
    let refused = raw.of(7).await.unwrap();
    assert_eq!((refused.kind, refused.code()), (RST_STREAM, crate::h2raw::REFUSED_STREAM));
}

#[tokio::test]
async fn a_head_without_a_body_is_one_frame() {
    let upstream = real(|request: Request<Incoming>| async move {
        let status = request.uri().path().trim_start_matches('/').parse::<u16>().unwrap();
        Response::builder().status(status).header("etag", "\"a\"").body(Full::<Bytes>::default()).unwrap()
    })
    .await;
    let front = front(upstream, h2c()).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    let long = format!("/{}", "a".repeat(9000));
    for (stream, method, path) in [
        (1, "GET", "/204"),
        (3, "GET", "/304"),
        (5, "HEAD", "/200"),
        (7, "GET", "/200"),
        // Refusals have bodies: of the layer, and of the server.
        (9, "HEAD", "/a%2fb"),
        (11, "HEAD", &long),
    ] {
        let fields = [[(":method", method), (":path", path)], [GET[1], GET[2]]].concat();
        raw.headers(stream, END_STREAM, &fields).await;
        let head = raw.of(stream).await.unwrap();
        assert_eq!((head.kind, head.flags & END_STREAM), (HEADERS, END_STREAM), "{method} {path}");
    }
}
