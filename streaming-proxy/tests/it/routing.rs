//! Routes by host, pattern, method and field, as they are on the wire.

use http::{HeaderName, Method, Request, Response};
use hyper::body::Incoming;
use tramline_streaming_proxy::route::{HeaderMatch, Rewrite};
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::once;
use crate::origin::{Front, real};

/// An upstream that says its name and what it was asked for.
async fn named(name: &'static str) -> Upstream {
    let address = real(move |request: Request<Incoming>| async move {
        Response::new(format!("{name} {} {}", request.method(), request.uri()))
    });
    Upstream::parse(name, &address.await.to_string(), UpstreamConfig::default()).unwrap()
}

#[tokio::test]
async fn the_most_exact_route_gets_the_request() {
    let (one, two) = (named("one").await, named("two").await);
    let beta = HeaderMatch::Present(HeaderName::from_static("x-beta"));
    let routes = Routes::new([
        Route::new("/", one.clone()).with_host("*.shop.example"),
        Route::new("/", two.clone()).with_host("shop.example"),
        Route::pattern("/users/{id}/{*rest}", two.clone())
            .with_rewrite(Rewrite::template("/v2/{id}/of/{*rest}")),
        Route::exact("/users/me", one.clone()).with_methods([Method::GET]),
        Route::exact("/users/me", two).with_methods([Method::GET]).with_header(beta),
        Route::exact("/health", one).with_methods([Method::GET, Method::POST]),
    ]);
    let forwarder = Forwarder::new(ProxyConfig::default(), routes.unwrap());
    let front = Front::serving(forwarder, ServerConfig::default()).await;
    let ask = async |line: &str, fields: &str| {
        once(front.addr, &format!("{line} HTTP/1.1\r\n{fields}\r\n\r\n")).await
    };

    for (line, fields, wanted) in [
        ("GET /a?b", "Host: www.Shop.example:8080", "one GET /a?b"),
        ("GET /a", "Host: SHOP.example.", "two GET /a"),
        ("GET http://shop.example/a", "Host: shop.example", "two GET /a"),
        ("GET /users/%7ex%25/a//b?q", "Host: else", "two GET /v2/~x%25/of/a/b?q"),
        ("GET /users/me", "Host: else", "one GET /users/me"),
        ("GET /%75sers/me", "Host: else", "one GET /users/me"),
        ("GET /users/me", "Host: else\r\nX-Beta: 1", "two GET /users/me"),
        ("DELETE /users/me", "Host: else", "two DELETE /v2/me/of/"),
    ] {
        let answer = ask(line, fields).await;
        assert_eq!(answer.text(), wanted, "{line} {fields}");
    }
    let answer = ask("DELETE /health", "Host: else").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
    assert_eq!(answer.code(), "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("proxy-status"), Some("tramline; error=http_request_denied"));
    assert_eq!(ask("GET /health/x", "Host: else").await.status, 404);
    let answer = ask("TRACE /health", "Host: else").await;
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
}
