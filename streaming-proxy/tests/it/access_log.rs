//! The access log.

use std::collections::BTreeMap;
use std::fmt;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tracing::field::{Field, Visit};
use tracing::span;
use tramline_streaming_proxy::layer::access_log::AccessLogLayer;
use tramline_streaming_proxy::layer::body_limit::BodyLimitLayer;
use tramline_streaming_proxy::layer::rate_limit::{Limiter, LimiterConfig, Quota, RateLimitLayer};
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::server::{ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, ProxyBody, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Client, get, once, read_head};
use crate::origin::{listen, nowhere, raw, real, soon};

/// Takes the events of the log, and nothing else.
struct Collector(mpsc::Sender<Line>);

type Line = BTreeMap<&'static str, String>;

struct Fields(Line);

impl tracing::Subscriber for Collector {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "streaming_proxy::access"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(Line::new());
        event.record(&mut fields);
        self.0.try_send(fields.0).unwrap();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

struct Logged {
    addr: std::net::SocketAddr,
    lines: mpsc::Receiver<Line>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Logged {
    /// A proxy with one route, `/api`, to these addresses, which is logged on this thread.
    async fn new(upstreams: &[std::net::SocketAddr]) -> Self {
        let (sender, lines) = mpsc::channel(16);
        let guard = tracing::subscriber::set_default(Collector(sender));
        let upstream =
            Upstream::new("test", upstreams.iter().map(ToString::to_string), UpstreamConfig::default())
                .unwrap();
        let routes = Routes::new([Route::new("/api", upstream)]).unwrap();
        let log = AccessLogLayer::trusting("127.0.0.0/8".parse().unwrap());
        let service = log.layer(RespondLayer::new().layer(Forwarder::new(ProxyConfig::default(), routes)));
        let (listener, addr) = listen().await;
        tokio::spawn(serve(listener, service, ServerConfig::default(), std::future::pending()));
        Self { addr, lines, _guard: guard }
    }

    /// The next line; and that there is no other yet.
    async fn line(&mut self) -> Line {
        let line = soon("a line", self.lines.recv()).await.unwrap();
        assert!(self.lines.try_recv().is_err(), "one line for each request");
        line
    }
}

fn seconds(line: &Line, name: &str) -> f64 {
    line[name].parse().unwrap()
}

#[tokio::test]
async fn one_line_says_all_of_a_request() {
    let upstream = real(|request| async move {
        request.into_body().collect().await.unwrap();
        Response::builder().status(201).body(Full::new(bytes::Bytes::from_static(b"hello"))).unwrap()
    })
    .await;
    let mut log = Logged::new(&[upstream]).await;
    let request = "POST /api/x?token=secret HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.7\r\n\
        X-Request-Id: r1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(once(log.addr, request).await.status, 201);
    let line = log.line().await;
    for (name, value) in [
        ("method", "POST"),
        ("path", "/api/x"),
        ("version", "HTTP/1.1"),
        ("status", "201"),
        ("outcome", "answered"),
        ("bytes_in", "3"),
        ("bytes_out", "5"),
        ("client", "203.0.113.7"),
        ("request_id", "r1"),
        ("route", "/api"),
        ("upstream", "test"),
        ("address", &upstream.to_string()),
        ("attempts", "1"),
    ] {
        assert_eq!(line.get(name).map(String::as_str), Some(value), "{name} in {line:?}");
    }
    assert!(line["peer"].starts_with("127.0.0.1:"), "{line:?}");
    let parts = seconds(&line, "queue") + seconds(&line, "connect") + seconds(&line, "head");
    assert!(seconds(&line, "connect") > 0.0 && seconds(&line, "head") > 0.0, "{line:?}");
    assert!(seconds(&line, "total") >= parts, "{line:?}");
    assert!(!format!("{line:?}").contains("secret"), "{line:?}");

    // Nobody sends the body of the answer to HEAD.
    let mut client = Client::connect(log.addr).await;
    client.send("HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 404"));
    let line = log.line().await;
    assert_eq!((line["status"].as_str(), line["outcome"].as_str()), ("404", "no_route"));
}

#[tokio::test]
async fn what_is_refused_or_fails_is_logged_with_its_reason() {
    let (_held, nobody) = nowhere();
    let mut log = Logged::new(&[nobody]).await;
    for (path, status, outcome, tried) in [
        ("/else", "404", "no_route", false),
        ("/api/..", "400", "bad_request", false),
        ("/api", "502", "connect_failed", true),
    ] {
        get(log.addr, path).await;
        let line = log.line().await;
        assert_eq!((line["status"].as_str(), line["outcome"].as_str()), (status, outcome), "{line:?}");
        assert_eq!(line.contains_key("route"), tried, "{line:?}");
        assert_eq!(line.get("attempts").map(String::as_str), tried.then_some("0"), "{line:?}");
        assert_eq!(line.get("address").cloned(), tried.then(|| nobody.to_string()), "{line:?}");
    }
}

#[tokio::test]
async fn what_no_upstream_has_answered_is_not_told_as_if_one_had() {
    // Scenario: a layer behind the log refuses, or an application beside the forwarder answers.
    let (sender, mut lines) = mpsc::channel(16);
    let _guard = tracing::subscriber::set_default(Collector(sender));
    let refuse = |_: &_, _| {
        Response::builder().status(StatusCode::TOO_MANY_REQUESTS).body(ProxyBody::empty()).unwrap()
    };
    let limit = |key: &'static str| {
        let limiter = Limiter::memory(key, Quota::parse("1/hour").unwrap(), LimiterConfig::default());
        RateLimitLayer::new(limiter, |_: &_| Some("all".to_owned()), refuse)
    };
    let forwarder = Forwarder::new(ProxyConfig::default(), Routes::default());
    let proxy = ServiceBuilder::new()
        .layer(AccessLogLayer::new())
        .layer(limit("proxy"))
        .layer(RespondLayer::new())
        .layer(BodyLimitLayer::new(3))
        .service(forwarder);
    let post = || Request::post("http://a/").body(Full::new(bytes::Bytes::from_static(b"four"))).unwrap();
    let beside = ServiceBuilder::new().layer(AccessLogLayer::new()).service(tower::service_fn(|_| async {
        Ok::<_, std::convert::Infallible>(
            Response::builder().status(500).body(Full::new(bytes::Bytes::from_static(b"oh"))).unwrap(),
        )
    }));
    for (what, status, outcome) in
        [("long", 413, "body_too_large"), ("second", 429, "rate_limited"), ("beside", 500, "answered_here")]
    {
        let seen = match what {
            "beside" => {
                let response = beside.clone().oneshot(post()).await.unwrap();
                let seen = response.status();
                response.into_body().collect().await.unwrap();
                seen
            }
            _ => {
                let response = proxy.clone().oneshot(post()).await.unwrap();
                let seen = response.status();
                response.into_body().collect().await.unwrap();
                seen
            }
        };
        assert_eq!(seen, status, "{what}");
        let line = lines.try_recv().unwrap();
        assert_eq!((line["status"].as_str(), line["outcome"].as_str()), (&*status.to_string(), outcome));
        assert!(!line.contains_key("upstream") && !line.contains_key("attempts"), "{line:?}");
    }
}

#[tokio::test]
async fn how_a_body_ends_is_told_at_its_end() {
    let (go, going) = tokio::sync::watch::channel(false);
    let upstream = raw(move |mut stream, _| {
        let mut going = going.clone();
        async move {
            let mut buffer = Vec::new();
            let head = read_head(&mut stream, &mut buffer).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await.unwrap();
            if head.starts_with("GET /api/short") {
                // Not before the client has seen some of it.
                going.wait_for(|go| *go).await.unwrap();
            } else {
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    let mut log = Logged::new(&[upstream]).await;
    let mut client = Client::connect(log.addr).await;
    client.send("GET /api/long HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.exactly(5).await.unwrap(), b"hello");
    assert!(log.lines.try_recv().is_err(), "it has not ended");
    drop(client);
    let line = log.line().await;
    assert_eq!((line["outcome"].as_str(), line["bytes_out"].as_str()), ("client_gone", "5"), "{line:?}");

    let mut client = Client::connect(log.addr).await;
    client.send("GET /api/short HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.exactly(5).await.unwrap(), b"hello");
    go.send(true).unwrap();
    let line = log.line().await;
    assert_eq!((line["status"].as_str(), line["outcome"].as_str()), ("200", "truncated"), "{line:?}");
}
