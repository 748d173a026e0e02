//! Answers whose places and cookies are the upstream's.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use http_body_util::Empty;
use tramline_streaming_proxy::config::{Answers, CookieDomain, HostHeader};
use tramline_streaming_proxy::route::Rewrite;
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Answer, get};
use crate::origin::{Front, real};

/// An upstream that answers with the fields in its query: `?name=value&name=value`, `!` for the upstream's own `Host`.
async fn upstream() -> SocketAddr {
    real(|request| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let mut response = Response::builder().status(201);
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            response =
                response.header(name, value.replace('!', &host).replace("%20", " ").replace("%23", "#"));
        }
        response.body(Empty::<Bytes>::new()).unwrap()
    })
    .await
}

async fn front(upstream: SocketAddr, host: HostHeader, answers: Answers) -> Front {
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let route =
        Route::new("/api", upstream).with_rewrite(Rewrite::replace("/api", "/v2")).with_answers(answers);
    let mut config = ProxyConfig::default();
    config.host = host;
    Front::serving(Forwarder::new(config, Routes::new([route]).unwrap()), ServerConfig::default()).await
}

fn all<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let fields = answer.head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(field, _)| *field == name).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn locations_come_back_to_the_clients_place() {
    let upstream = upstream().await;
    let plain = front(upstream, HostHeader::Upstream, Answers::default()).await;
    let preserving = front(upstream, HostHeader::Preserve, Answers::default()).await;
    let mut off = Answers::default();
    off.locations = false;
    let off = front(upstream, HostHeader::Upstream, off).await;
    // Clients here call the proxy `a.example`.
    for (location, seen, by_preserving) in [
        ("http://!/v2/users/1", "/api/users/1", "http://a.example/api/users/1"),
        ("/v2/users/1?x", "/api/users/1?x", "/api/users/1?x"),
        ("https://a.example/v2", "https://a.example/api", "https://a.example/api"),
        ("/other", "/other", "/other"),
        ("https://elsewhere.example/v2", "https://elsewhere.example/v2", "https://elsewhere.example/v2"),
        ("../v2", "../v2", "../v2"),
    ] {
        for name in ["location", "content-location"] {
            let path = format!("/api?{name}={location}");
            assert_eq!(get(plain.addr, &path).await.header(name), Some(seen), "{location}");
            assert_eq!(get(preserving.addr, &path).await.header(name), Some(by_preserving), "{location}");
            let as_it_is = location.replace('!', &upstream.to_string());
            assert_eq!(get(off.addr, &path).await.header(name), Some(as_it_is.as_str()));
        }
    }
}

#[tokio::test]
async fn cookies_come_back_to_the_clients_place_where_asked() {
    let upstream = upstream().await;
    let query = "/api?set-cookie=a=1;%20Path=/v2/x;%20Domain=inner;%20Secure&set-cookie=b=2;%20Path=/&set-cookie=c=3;%20Path=/y";
    let plain = front(upstream, HostHeader::Upstream, Answers::default()).await;
    let as_it_was = ["a=1; Path=/v2/x; Domain=inner; Secure", "b=2; Path=/", "c=3; Path=/y"];
    assert_eq!(all(&get(plain.addr, query).await, "set-cookie"), as_it_was);
    let mut answers = Answers::default();
    answers.cookie_paths = true;
    answers.cookie_domain = CookieDomain::Remove;
    let moved = front(upstream, HostHeader::Upstream, answers).await;
    let expected = ["a=1; Path=/api/x; Secure", "b=2; Path=/api", "c=3; Path=/y"];
    assert_eq!(all(&get(moved.addr, query).await, "set-cookie"), expected);
}

#[tokio::test]
async fn cors_of_an_upstream_ends_where_the_edge_does_it() {
    let upstream = upstream().await;
    let query = "/api?access-control-allow-origin=*&Access-Control-Allow-Credentials=true&vary=origin&x-a=1";
    let plain = front(upstream, HostHeader::Upstream, Answers::default()).await;
    assert_eq!(get(plain.addr, query).await.header("access-control-allow-origin"), Some("*"));
    let mut answers = Answers::default();
    answers.strip_cors = true;
    let edge = front(upstream, HostHeader::Upstream, answers).await;
    let answer = get(edge.addr, query).await;
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    assert_eq!((answer.header("vary"), answer.header("x-a")), (Some("origin"), Some("1")));
}
