//! Layers of tower-http's, as this crate sets them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;
use tower::{Layer, Service, ServiceExt};
use tower_http::decompression::DecompressionLayer;
use tramline_streaming_proxy::config::ProxyConfig;
use tramline_streaming_proxy::layer::compression::compression;
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::layer::security_headers::{hsts, hsts_with_subdomains, security_headers};
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Client, read_head};
use crate::origin::{listen, raw, soon};

/// A service that answers with these fields.
fn answering(
    fields: &'static [(&'static str, &'static str)],
    body: Bytes,
) -> impl Service<
    Request<()>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send,
> + Clone {
    tower::service_fn(move |_: Request<()>| {
        let mut response = Response::new(Full::new(body.clone()));
        for (name, value) in fields {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        async { Ok(response) }
    })
}

fn text() -> Bytes {
    Bytes::from("All the same, all the same. ".repeat(100))
}

/// The fields of an answer to a client that takes these encodings.
async fn compressed(
    fields: &'static [(&'static str, &'static str)],
    body: Bytes,
    accepts: &str,
) -> HeaderMap {
    let request = Request::get("/").header("accept-encoding", accepts).body(()).unwrap();
    let response = compression().layer(answering(fields, body)).oneshot(request).await.unwrap();
    response.headers().clone()
}

#[tokio::test]
async fn what_is_compressed_is_the_same_to_the_reader() {
    for accepts in ["gzip", "br", "gzip, br;q=0.5"] {
        let headers = compressed(&[("content-type", "text/html")], text(), accepts).await;
        assert_eq!(headers["content-encoding"], accepts.split(',').next().unwrap());
        assert_eq!(headers["vary"], "accept-encoding");
        assert!(!headers.contains_key("content-length"));
    }
    let service = compression().layer(answering(&[("content-type", "application/json")], text()));
    for layer in [DecompressionLayer::new().no_br(), DecompressionLayer::new().no_gzip()] {
        let service = layer.layer(service.clone());
        let response = service.oneshot(Request::get("/").body(()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["vary"], "accept-encoding", "it was compressed on the way");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text());
    }
}

#[tokio::test]
async fn what_must_not_be_compressed_is_not() {
    type Fields = &'static [(&'static str, &'static str)];
    let cases: [(&str, Fields); 12] = [
        ("events", &[("content-type", "text/event-stream")]),
        ("events in other letters", &[("content-type", "text/Event-Stream; charset=utf-8")]),
        ("encoded", &[("content-type", "text/html"), ("content-encoding", "zstd")]),
        ("not to be changed", &[("content-type", "text/html"), ("cache-control", "private, No-Transform")]),
        (
            "said in a second field",
            &[("content-type", "text/html"), ("cache-control", "private"), ("cache-control", "no-transform")],
        ),
        ("a part", &[("content-type", "text/html"), ("content-range", "bytes 0-9/90")]),
        ("with a digest", &[("content-type", "text/html"), ("content-digest", "sha-256=:AA==:")]),
        ("a picture", &[("content-type", "image/png")]),
        ("a stream of messages", &[("content-type", "application/grpc+proto")]),
        ("a stream of lines", &[("content-type", "application/x-ndjson")]),
        ("a stream of a sequence", &[("content-type", "application/json-seq")]),
        ("of no type", &[]),
    ];
    for (what, fields) in cases {
        let headers = compressed(fields, text(), "gzip, br").await;
        let stated = fields.iter().find(|(name, _)| *name == "content-encoding").map(|(_, value)| *value);
        let found = headers.get("content-encoding").map(|value| value.to_str().unwrap());
        assert_eq!(found, stated, "{what}");
    }
    let short = compressed(&[("content-type", "text/html")], Bytes::from_static(b"short"), "gzip").await;
    assert!(!short.contains_key("content-encoding"));
    let unasked = compressed(&[("content-type", "text/html")], text(), "identity").await;
    assert!(!unasked.contains_key("content-encoding"));
}

#[tokio::test]
async fn a_tag_does_not_say_that_the_bytes_are_the_same() {
    let strong: &[_] = &[("content-type", "text/html"), ("etag", "\"a\"")];
    assert_eq!(compressed(strong, text(), "gzip").await["etag"], "W/\"a\"");
    assert_eq!(compressed(strong, text(), "identity").await["etag"], "\"a\"");
    let weak: &[_] = &[("content-type", "text/html"), ("etag", "W/\"a\"")];
    assert_eq!(compressed(weak, text(), "gzip").await["etag"], "W/\"a\"");
}

#[tokio::test]
async fn events_pass_at_once_through_a_proxy_that_compresses() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"9\r\ndata: 1\n\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let forwarder = Forwarder::new(ProxyConfig::default(), Routes::new([Route::new("/", upstream)]).unwrap());
    let (listener, addr) = listen().await;
    let service = compression().layer(RespondLayer::new().layer(forwarder));
    let server = tramline_streaming_proxy::server::serve(
        listener,
        service,
        ServerConfig::default(),
        std::future::pending(),
    );
    let server = tokio::spawn(server);
    let mut client = Client::connect(addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\n\r\n").await;
    let head = soon("head", client.head()).await.unwrap();
    assert!(!head.to_ascii_lowercase().contains("content-encoding"), "{head}");
    assert_eq!(soon("event", client.exactly(14)).await.unwrap(), b"9\r\ndata: 1\n\n\r\n");
    server.abort();
}

#[tokio::test]
async fn browsers_are_told_to_be_careful_unless_the_service_says_otherwise() {
    let call = async |fields| {
        let service = security_headers().layer(answering(fields, Bytes::new()));
        service.oneshot(Request::get("/").body(()).unwrap()).await.unwrap().headers().clone()
    };
    let headers = call(&[]).await;
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["referrer-policy"], "strict-origin-when-cross-origin");
    let headers = call(&[("x-frame-options", "SAMEORIGIN")]).await;
    assert_eq!(headers.get_all("x-frame-options").iter().collect::<Vec<_>>(), ["SAMEORIGIN"]);
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn https_is_said_for_the_future_and_once() {
    let day = Duration::from_secs(86_400);
    for (layer, value) in
        [(hsts(day), "max-age=86400"), (hsts_with_subdomains(day), "max-age=86400; includeSubDomains")]
    {
        let service = layer.layer(answering(&[("strict-transport-security", "max-age=0")], Bytes::new()));
        let response = service.oneshot(Request::get("/").body(()).unwrap()).await.unwrap();
        let said: Vec<_> = response.headers().get_all("strict-transport-security").iter().collect();
        assert_eq!(said, [value]);
    }
}
