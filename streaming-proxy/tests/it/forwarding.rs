//! What the upstream and the client get to see of each other.

use std::net::SocketAddr;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;
use tramline_streaming_proxy::config::{HostHeader, Timeouts};
use tramline_streaming_proxy::route::Rewrite;
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Client, get, once, read_head};
use crate::origin::{Front, raw, real};

/// Answers with the request as it saw it, one field a line.
async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    let body = body.collect().await.unwrap().to_bytes();
    text.push_str(&format!("\n{}", String::from_utf8_lossy(&body)));
    Response::new(Full::new(text.into()))
}

async fn trusting(upstream: SocketAddr, networks: &str) -> Front {
    let mut config = ProxyConfig::default();
    config.trusted = networks.parse().unwrap();
    Front::with(&[upstream], UpstreamConfig::default(), Timeouts::default(), config).await
}

#[tokio::test]
async fn an_untrusted_peer_cannot_say_where_it_comes_from() {
    let upstream = real(echo).await;
    let front = Front::new(upstream).await;
    let request = "GET /x?q=1&q=%20 HTTP/1.1\r\nHost: shop.example:8080\r\nX-Forwarded-For: 6.6.6.6\r\n\
        X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
        X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: r1\r\nTraceparent: t\r\n\r\n";
    let answer = once(front.addr, request).await;
    let seen = answer.text();
    assert!(!seen.contains("6.6.6.6") && !seen.contains("evil") && !seen.contains("port"), "{seen}");
    assert!(seen.starts_with("GET /x?q=1&q=%20\n"), "{seen}");
    for line in [
        &format!("host: {upstream}\n"),
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: shop.example:8080\n",
        "forwarded: for=127.0.0.1;host=\"shop.example:8080\";proto=http\n",
        "x-request-id: r1\n",
        "traceparent: t\n",
    ] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
}

#[tokio::test]
async fn a_trusted_peer_is_added_to_in_the_family_that_it_writes() {
    // Scenario: a front that writes `X-Forwarded-*` passes on the `Forwarded` that its client invented.
    let front = trusting(real(echo).await, "127.0.0.0/8, 10.0.0.0/8").await;
    let request = "GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 5.5.5.5, 203.0.113.7\r\n\
        X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: shop.example\r\n\
        Forwarded: for=6.6.6.6;host=evil\r\nX-Forwarded-Port: 6666\r\nX-Real-IP: 6.6.6.6\r\n\r\n";
    let answer = once(front.addr, request).await;
    let seen = answer.text();
    for line in [
        "x-forwarded-for: 5.5.5.5, 203.0.113.7, 10.0.0.1, 127.0.0.1\n",
        "x-forwarded-proto: https\n",
        "x-forwarded-host: shop.example\n",
        "forwarded: for=5.5.5.5, for=203.0.113.7;host=\"shop.example\";proto=https, for=10.0.0.1, \
         for=127.0.0.1;host=\"inner\";proto=http\n",
    ] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
    for claim in ["6.6.6.6", "evil", "6666"] {
        assert!(!seen.contains(claim), "{claim} in {seen}");
    }
}

#[tokio::test]
async fn fields_of_this_hop_end_here() {
    let front = Front::new(real(echo).await).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop , authorization, x-request-id\r\n\
        X-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: p\r\nProxy-Connection: keep-alive\r\n\
        TE: gzip\r\nUpgrade: h2c\r\nAuthorization: Bearer b\r\nX-Request-Id: kept\r\nContent-Length: 2\r\n\r\nhi";
    let answer = once(front.addr, request).await;
    let seen = answer.text();
    for gone in ["x-hop", "keep-alive", "proxy-", "te:", "upgrade", "connection"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    assert!(seen.contains("authorization: Bearer b\n") && seen.contains("x-request-id: kept\n"), "{seen}");
    assert!(seen.ends_with("\n\nhi"), "{seen}");
}

#[tokio::test]
async fn fields_of_the_other_hop_end_here_too() {
    let upstream = real(|_| async {
        Response::builder()
            .header("connection", "x-internal")
            .header("x-internal", "secret")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("x-kept", "1")
            .body(Full::new(Bytes::from_static(b"ok")))
            .unwrap()
    })
    .await;
    let front = Front::new(upstream).await;
    let answer = get(front.addr, "/").await;
    for gone in ["x-internal", "keep-alive", "proxy-authenticate"] {
        assert!(!answer.head.contains(gone), "{gone} in {}", answer.head);
    }
    assert!(
        answer.head.contains("set-cookie: a=1") && answer.head.contains("set-cookie: b=2"),
        "{}",
        answer.head
    );
    assert_eq!(answer.header("x-kept"), Some("1"));
    assert_eq!(answer.text(), "ok");
}

#[tokio::test]
async fn paths_are_rewritten_and_the_longest_prefix_wins() {
    let upstream = Upstream::parse("echo", &real(echo).await.to_string(), UpstreamConfig::default()).unwrap();
    let table = Routes::new([
        Route::new("/api", upstream.clone()).with_rewrite(Rewrite::strip("/api")),
        Route::new("/api/auth/", upstream.clone()).with_rewrite(Rewrite::replace("/api/auth", "/v2")),
        Route::new("/keep", upstream.clone()).with_encoded_slashes(),
    ])
    .unwrap();
    let front = Front::serving(Forwarder::new(ProxyConfig::default(), table), ServerConfig::default()).await;
    for (path, seen) in [
        ("/api", "/"),
        ("/api?a=b", "/?a=b"),
        ("/api/x%3Fy?z", "/x%3Fy?z"),
        ("//%61pi/%7ex?%7e", "/~x?%7e"),
        ("/api//evil.example/x", "/evil.example/x"),
        ("/api/auth", "/v2"),
        ("/api/auth/", "/v2/"),
        ("/api/auth/login", "/v2/login"),
        ("/api/authors", "/authors"),
        ("/keep//a", "/keep/a"),
        ("/keep/a%2fb", "/keep/a%2Fb"),
    ] {
        let answer = get(front.addr, path).await;
        assert_eq!(answer.text().lines().next(), Some(format!("GET {seen}").as_str()), "{path}");
    }
    // Whatever an upstream would decode or merge, it gets what was matched.
    for path in ["/api/x%2fy", "/keep/..%2fapi", "/keep%5ca", "/keep/%00", "/keep/%zz"] {
        let answer = get(front.addr, path).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"), "{path}");
    }
    let answer = get(front.addr, "/apiary").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"));

    // Other routes at run time, with the connection kept.
    let mut client = Client::connect(front.addr).await;
    client.send("GET /new HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 404);
    front.forwarder.set_routes(Routes::new([Route::new("/new", upstream)]).unwrap());
    client.send("GET /new HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn the_host_can_be_preserved() {
    let mut config = ProxyConfig::default();
    config.host = HostHeader::Preserve;
    let upstream = real(echo).await;
    let front = Front::with(&[upstream], UpstreamConfig::default(), Timeouts::default(), config).await;
    let answer = once(front.addr, "GET http://shop.example/p HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert!(answer.text().starts_with("GET /p\n") && answer.text().contains("host: shop.example\n"));
    // One of HTTP/1.0 need not say it, and goes on as one that must.
    let answer = once(front.addr, "GET /p HTTP/1.0\r\n\r\n").await;
    assert!(answer.text().contains(&format!("host: {upstream}\n")), "{}", answer.text());
}

#[tokio::test]
async fn a_get_with_a_body_stays_one_request() {
    let front = Front::new(real(echo).await).await;
    let chunked = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = once(front.addr, chunked).await;
    assert!(answer.text().ends_with("\n\nabc"), "{}", answer.text());
    let sized = "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let answer = once(front.addr, sized).await;
    assert!(answer.text().contains("content-length: 3\n") && answer.text().ends_with("\n\nabc"));
}

#[tokio::test]
async fn a_body_that_a_layer_has_read_is_a_typed_error() {
    let front = Front::new(real(echo).await).await;
    let request = Request::post("/").header("host", "a").header("content-length", "5");
    let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let error = front.forwarder.clone().oneshot(request).await.unwrap_err();
    assert_eq!(error.kind(), tramline_streaming_proxy::ErrorKind::BodyTaken);
}

#[tokio::test]
async fn head_keeps_the_length_and_has_no_body() {
    let front = Front::new(real(echo).await).await;
    let mut client = Client::connect(front.addr).await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut buffer = Vec::new();
    let head = read_head(&mut client.stream, &mut buffer).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: "), "{head}");
    client.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.text().starts_with("GET /second\n"));
}

#[tokio::test]
async fn a_304_keeps_the_length_of_what_it_stands_for() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        while read_head(&mut stream, &mut buffer).await.is_some() {
            let answer = "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1234\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    let mut buffer = Vec::new();
    // More than one on a connection: a body, or the wait for one, would disturb the next.
    for method in ["GET", "HEAD", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\n\r\n")).await;
        let head = read_head(&mut client.stream, &mut buffer).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 304") && head.contains("content-length: 1234\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert!(buffer.is_empty());
    }
}
