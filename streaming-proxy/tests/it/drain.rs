//! The server: its bounds, its times, its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::Client;
use crate::origin::{Front, listen, real, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A front whose upstream answers each request for one permit of the second, after it gave one to the first.
async fn gated(config: ServerConfig) -> (Front, Arc<Semaphore>, Arc<Semaphore>) {
    let arrived = Arc::new(Semaphore::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let upstream = real({
        let (gate, arrived) = (gate.clone(), arrived.clone());
        move |_| {
            let (gate, arrived) = (gate.clone(), arrived.clone());
            async move {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
                Response::new(Full::new(Bytes::from_static(b"done")))
            }
        }
    })
    .await;
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let routes = Routes::new([Route::new("/", upstream)]).unwrap();
    (Front::serving(Forwarder::new(ProxyConfig::default(), routes), config).await, arrived, gate)
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_and_takes_nothing_new() {
    let (mut front, arrived, gate) = gated(ServerConfig::default()).await;
    let mut idle = Client::connect(front.addr).await;
    gate.add_permits(1);
    idle.send(GET).await;
    assert_eq!(idle.answer().await.text(), "done");
    arrived.acquire().await.unwrap().forget();
    let mut silent = Client::connect(front.addr).await;
    let mut busy = Client::connect(front.addr).await;
    busy.send(GET).await;
    soon("arrived", arrived.acquire()).await.unwrap().forget();

    front.stop.take();
    assert!(idle.is_ended().await, "an idle connection is closed");
    assert!(silent.is_ended().await, "and one that never said anything");
    assert!(TcpStream::connect(front.addr).await.is_err(), "the listener is closed");
    assert!(!front.server.is_finished());
    gate.add_permits(1);
    let answer = busy.answer().await;
    assert_eq!((answer.text(), answer.header("connection")), ("done", Some("close")));
    soon("drained", &mut front.server).await.unwrap();
}

/// Scenario: a client was refused early and sends on, without ever reading, while the server is told to end. Its thirty
/// seconds are not the drain's.
#[tokio::test]
async fn a_drain_ends_though_a_client_that_was_answered_sends_on() {
    let (listener, addr) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let refuse = tower::service_fn(|_: Request<RequestBody>| async {
        let mut response = Response::new(Full::new(Bytes::from_static(b"no")));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        Ok::<_, Infallible>(response)
    });
    let server = tokio::spawn(serve(listener, refuse, ServerConfig::default(), async move {
        let _ = stopped.await;
    }));
    let mut client = Client::connect(addr).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 413);
    let talk = tokio::spawn(async move {
        let piece = [0; 1024];
        while client.stream.write_all(&piece).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    drop(stop);
    soon("drained", server).await.unwrap();
    soon("the client is told", talk).await.unwrap();
}

#[tokio::test]
async fn dropping_the_server_cuts_what_is_under_way() {
    let (front, arrived, _gate) = gated(ServerConfig::default()).await;
    let mut busy = Client::connect(front.addr).await;
    busy.send(GET).await;
    soon("arrived", arrived.acquire()).await.unwrap().forget();
    front.server.abort();
    assert!(busy.is_ended().await);
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let mut config = ServerConfig::default();
    config.header_read_timeout = Duration::from_millis(30);
    let (front, _arrived, _gate) = gated(config).await;
    for head in ["", "GET / HTTP/1.1\r\nHost"] {
        let mut slow = Client::connect(front.addr).await;
        slow.send(head).await;
        let answer = soon("the end", slow.try_answer()).await;
        assert!(answer.is_none_or(|answer| answer.status == 408));
        assert!(slow.is_ended().await);
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let mut config = ServerConfig::default();
    config.write_timeout = Duration::from_millis(50);
    let upstream = real(|_| async { Response::new(Full::new(Bytes::from(vec![0; 64 << 20]))) }).await;
    let upstream = Upstream::new("test", [upstream.to_string()], UpstreamConfig::default()).unwrap();
    let routes = Routes::new([Route::new("/", upstream)]).unwrap();
    let mut front = Front::serving(Forwarder::new(ProxyConfig::default(), routes), config).await;
    let mut client = Client::connect(front.addr).await;
    client.send(GET).await;
    let mut first = [0; 1];
    soon("the answer begins", client.stream.peek(&mut first)).await.unwrap();
    front.stop.take();
    // The client holds its end open and reads nothing: only the timer lets the drain end.
    soon("drained", &mut front.server).await.unwrap();
    drop(client);
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let mut config = ServerConfig::default();
    config.max_connections = 1;
    let (front, arrived, gate) = gated(config).await;
    gate.add_permits(100);
    let mut first = Client::connect(front.addr).await;
    first.send(GET).await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = Client::connect(front.addr).await;
    second.send(GET).await;
    // The first goes to the upstream and back again and again: the second has had its chance, many times.
    for _ in 0..20 {
        first.send(GET).await;
        assert_eq!(first.answer().await.status, 200);
    }
    assert_eq!(arrived.available_permits(), 21, "the second is served beside the first");
    drop(first);
    assert_eq!(second.answer().await.status, 200);
}
