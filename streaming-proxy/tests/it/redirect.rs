//! From http to https.

use tramline_streaming_proxy::edge::redirect::HttpsRedirect;
use tramline_streaming_proxy::server::{ServerConfig, serve};

use crate::client::{Answer, once};
use crate::origin::listen;

async fn asked(redirect: HttpsRedirect, request: &str) -> Answer {
    let (listener, addr) = listen().await;
    let server = tokio::spawn(serve(listener, redirect, ServerConfig::default(), std::future::pending()));
    let answer = once(addr, request).await;
    server.abort();
    answer
}

#[tokio::test]
async fn the_same_place_behind_https() {
    for (redirect, request, location) in [
        (HttpsRedirect::new(), "GET /a/b?c=%20d HTTP/1.1\r\nHost: a.example", "https://a.example/a/b?c=%20d"),
        (HttpsRedirect::new(), "GET / HTTP/1.1\r\nHost: a.example:8080", "https://a.example/"),
        (HttpsRedirect::to_port(8443), "GET / HTTP/1.1\r\nHost: a.example:80", "https://a.example:8443/"),
        (HttpsRedirect::to_port(8443), "GET / HTTP/1.1\r\nHost: [::1]:80", "https://[::1]:8443/"),
        (HttpsRedirect::new(), "GET http://a.example/x HTTP/1.1\r\nHost: a.example", "https://a.example/x"),
        // A path that looks like a host stays a path.
        (
            HttpsRedirect::new(),
            "GET //b.example/x HTTP/1.1\r\nHost: a.example",
            "https://a.example//b.example/x",
        ),
        (
            HttpsRedirect::new(),
            "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0",
            "https://a.example/x",
        ),
    ] {
        let answer = asked(redirect, &format!("{request}\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("location")), (308, Some(location)), "{request}");
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_host_that_is_none_is_not_repeated() {
    for request in [
        "GET / HTTP/1.1\r\nX: y",
        "GET / HTTP/1.1\r\nHost:",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example",
        "GET / HTTP/1.1\r\nHost: user@a.example",
        "GET / HTTP/1.1\r\nHost: a.example/b",
        "GET / HTTP/1.1\r\nHost: a.example\\@b.example",
        "GET http://b.example/ HTTP/1.1\r\nHost: a.example",
    ] {
        let answer = asked(HttpsRedirect::new(), &format!("{request}\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{request}");
        assert_eq!(answer.header("connection"), Some("close"), "{request}");
    }
    let answer = asked(HttpsRedirect::new(), "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").is_some_and(|allowed| allowed.contains("GET")));
}
