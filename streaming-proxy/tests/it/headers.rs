//! Fields that this hop adds, counts and refuses, on the wire.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::{ProxyConfig, UpstreamConfig};

use crate::client::{once, read_head};
use crate::origin::{Front, raw, real};

/// Answers with the fields as it saw them, one a line.
async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    Response::new(Full::new(text.into()))
}

async fn named(upstream: SocketAddr, name: &str) -> Front {
    let mut config = ProxyConfig::default();
    config.via = Some(name.to_owned());
    Front::with(&[upstream], UpstreamConfig::default(), Timeouts::default(), config).await
}

#[tokio::test]
async fn via_is_added_both_ways_and_says_how_each_message_came() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut buffer).await {
            let seen: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("via: ")).collect();
            let seen = seen.join("|");
            let answer =
                format!("HTTP/1.1 200 OK\r\nVia: 1.0 inner\r\nContent-Length: {}\r\n\r\n{seen}", seen.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let front = named(upstream, "edge").await;
    for (request, seen) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "1.1 edge"),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "1.0 edge"),
        // It cannot be nominated away.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: via\r\nVia: 1.1 cdn (x), 2 b\r\n\r\n",
            "1.1 cdn (x), 2 b|1.1 edge",
        ),
    ] {
        let answer = once(front.addr, request).await;
        assert_eq!(answer.text(), seen);
        assert!(answer.head.contains("via: 1.0 inner\r\nvia: 1.1 edge\r\n"), "{}", answer.head);
    }
}

#[tokio::test]
async fn a_request_that_was_here_before_is_a_loop() {
    // Scenario: a proxy's upstream is, by a mistake in a table or in DNS, the proxy itself.
    let front = named(real(echo).await, "edge").await;
    let around = named(front.addr, "outer").await;
    // Two of different names in a row are no loop.
    assert_eq!(once(around.addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    let same = named(front.addr, "EDGE").await;
    let answer = once(same.addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (508, "LOOP_DETECTED"));
    assert_eq!(answer.header("proxy-status"), Some("tramline; error=proxy_loop_detected"));
    // Without a name nothing is written, and nothing found.
    let mut config = ProxyConfig::default();
    config.via = None;
    let silent =
        Front::with(&[real(echo).await], UpstreamConfig::default(), Timeouts::default(), config).await;
    let answer = once(silent.addr, "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 edge\r\n\r\n").await;
    assert!(answer.text().contains("via: 1.1 edge\n") && answer.header("via").is_none(), "{}", answer.head);
    // The default names of two proxies differ.
    let (one, two) = (ProxyConfig::default().via.unwrap(), ProxyConfig::default().via.unwrap());
    assert!(one != two && one.starts_with("tramline-"), "{one} {two}");
}

#[tokio::test]
async fn max_forwards_counts_down_and_zero_answers_here() {
    let front = Front::new(real(echo).await).await;
    let ask = |method: &str, fields: &str| {
        let request = format!("{method} /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let addr = front.addr;
        async move { once(addr, &request).await }
    };
    let answer = ask("OPTIONS", "Max-Forwards: 3\r\n").await;
    assert!(answer.text().contains("\nmax-forwards: 2\n"), "{}", answer.text());
    let answer = ask("OPTIONS", "Max-Forwards: 0\r\n").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert!(answer.header("allow").unwrap().contains("OPTIONS"), "{}", answer.head);
    assert!(answer.header("content-length").is_none(), "{}", answer.head);
    // Nothing of other methods (RFC 9110, 7.6.2), and TRACE goes nowhere.
    let answer = ask("GET", "Max-Forwards: 0\r\n").await;
    assert!(answer.text().contains("\nmax-forwards: 0\n"), "{}", answer.text());
    assert_eq!(ask("TRACE", "Max-Forwards: 0\r\n").await.status, 405);
    for wrong in [
        "Max-Forwards: -1\r\n",
        "Max-Forwards: 1\r\nMax-Forwards: 1\r\n",
        "Max-Forwards: 99999999999999999999\r\n",
    ] {
        assert_eq!(ask("OPTIONS", wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn nothing_that_only_a_front_can_know_comes_from_a_stranger() {
    // Scenario: each upstream believes some field of these; `Proxy` becomes `HTTP_PROXY` in CGI's environment.
    let front = Front::new(real(echo).await).await;
    let claims = [
        "Proxy",
        "Client-IP",
        "CF-Connecting-IP",
        "True-Client-IP",
        "Fastly-Client-IP",
        "X-Original-URL",
        "X-Original-Forwarded-For",
        "X-Rewrite-URL",
        "X-Host",
        "X-Scheme",
        "X-URL-Scheme",
        "Front-End-Https",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Client-Cert",
        "SSL-Client-Verify",
        "X-Forwarded-Client-Cert",
        "X_Real_IP",
        "X_Forwarded_For",
        "X_Request_ID",
        "Content_Length",
        "Content_Type",
        "Transfer_Encoding",
        "Trace_Parent",
        "TraceParent_",
        "Traceparent",
    ];
    let fields: String = claims.iter().map(|name| format!("{name}: evil\r\n")).collect();
    let answer = once(front.addr, &format!("GET / HTTP/1.1\r\nHost: a\r\nX-Mine: 1\r\n{fields}\r\n")).await;
    let mut left: Vec<&str> = answer.text().lines().filter(|line| line.ends_with(": evil")).collect();
    left.sort_unstable();
    // Names that mean nothing to anybody are nobody's business, and a trace comes from outside.
    assert_eq!(left, ["trace_parent: evil", "traceparent: evil", "traceparent_: evil"]);
    assert!(answer.text().contains("x-real-ip: 127.0.0.1\n"), "{}", answer.text());
    assert!(answer.text().contains("x-mine: 1\n"), "{}", answer.text());
}
