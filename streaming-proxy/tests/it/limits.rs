//! How long a head may be.

use std::convert::Infallible;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tramline_streaming_proxy::server::{ServerConfig, serve};

use crate::client::once;
use crate::origin::listen;

/// A server whose service answers everything; it ends with the value.
async fn server(config: ServerConfig) -> (std::net::SocketAddr, oneshot::Sender<()>) {
    let (listener, addr) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let service = tower::service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(http_body_util::Full::new(bytes::Bytes::from_static(b"ok"))))
    });
    tokio::spawn(serve(listener, service, config, async move {
        let _ = stopped.await;
    }));
    (addr, stop)
}

#[tokio::test]
async fn a_target_that_is_too_long_is_414() {
    let mut config = ServerConfig::default();
    config.max_uri = 20;
    let (addr, _stop) = server(config).await;
    let status = async |target: &str| {
        let answer = once(addr, &format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        if answer.status == 414 {
            assert_eq!(answer.code(), "URI_TOO_LONG");
        }
        answer.status
    };
    assert_eq!(status("/345678901234567890").await, 200);
    assert_eq!(status("/34567890?23456789012").await, 414);
    assert_eq!(status("http://a.example/2345").await, 414, "the absolute form counts whole");
}

#[tokio::test]
async fn more_fields_than_allowed_are_431() {
    let mut config = ServerConfig::default();
    config.max_headers = 4;
    let (addr, _stop) = server(config).await;
    for (fields, status) in [(3, 200), (4, 431)] {
        let fields = "X: y\r\n".repeat(fields);
        assert_eq!(once(addr, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await.status, status);
    }
}
