//! Tunnels.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::{ProxyConfig, UpstreamConfig};

use crate::client::{Client, get, read_head};
use crate::origin::{Front, Raise, raw, real, soon};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key: k\r\n\r\n";

/// A real upgrade whose other end sends back what it gets, and a last word after the end of it.
async fn echo(mut request: Request<Incoming>) -> Response<Empty<Bytes>> {
    assert_eq!(request.headers()["sec-websocket-key"], "k");
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        let mut buffer = [0; 1024];
        loop {
            match io.read(&mut buffer).await.unwrap() {
                0 => break,
                count => io.write_all(&buffer[..count]).await.unwrap(),
            }
        }
        io.write_all(b"bye").await.unwrap();
        io.shutdown().await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", "x")
        .body(Empty::new())
        .unwrap()
}

#[tokio::test]
async fn both_directions_pass_and_end_separately() {
    let front = Front::new(real(echo).await).await;
    let mut client = Client::connect(front.addr).await;
    // The first bytes come with the request: they belong to the tunnel.
    client.send(format!("{UPGRADE}early ")).await;
    let mut buffer = Vec::new();
    let head = read_head(&mut client.stream, &mut buffer).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("sec-websocket-accept: x"), "{head}");
    client.send("late").await;
    while buffer.len() < 10 {
        soon("echo", client.stream.read_buf(&mut buffer)).await.unwrap();
    }
    assert_eq!(buffer, b"early late");
    assert_eq!(front.forwarder.tunnels(), 1);
    // Half-close: the upstream reads the end, and its last words still come.
    client.stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    soon("the last words", client.stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"bye");
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let upstream = real(|_| async {
        Response::builder().status(403).header("content-length", "0").body(Empty::<Bytes>::new()).unwrap()
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client.send(UPGRADE).await;
    assert_eq!(client.answer().await.status, 403);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 403);
    assert_eq!(front.forwarder.tunnels(), 0);
}

#[tokio::test]
async fn a_protocol_that_is_not_on_the_list_is_no_upgrade() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        let head = read_head(&mut stream, &mut buffer).await.unwrap().to_lowercase();
        assert!(!head.contains("upgrade") && !head.contains("h2c"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_switch_to_another_protocol_is_502() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n")
            .await
            .unwrap();
        let _ = stream.read_to_end(&mut buffer).await;
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client.send(UPGRADE).await;
    assert_eq!(client.answer().await.status, 502);
}

async fn tunnel(config: ProxyConfig) -> (Front, Client, Arc<Notify>) {
    tunnel_to(UpstreamConfig::default(), config).await
}

async fn tunnel_to(upstream_config: UpstreamConfig, config: ProxyConfig) -> (Front, Client, Arc<Notify>) {
    let closed = Arc::new(Notify::new());
    let upstream = raw({
        let closed = closed.clone();
        move |mut stream, _| {
            let raise = Raise(closed.clone());
            async move {
                let mut buffer = Vec::new();
                let Some(head) = read_head(&mut stream, &mut buffer).await else { return };
                if !head.to_lowercase().contains("upgrade") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                    return;
                }
                let answer =
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.read_to_end(&mut buffer).await;
                drop(raise);
            }
        }
    })
    .await;
    let front = Front::with(&[upstream], upstream_config, Timeouts::default(), config).await;
    let mut client = Client::connect(front.addr).await;
    client.send(UPGRADE).await;
    let mut buffer = Vec::new();
    assert!(read_head(&mut client.stream, &mut buffer).await.unwrap().starts_with("HTTP/1.1 101"));
    (front, client, closed)
}

#[tokio::test]
async fn a_client_that_vanishes_frees_the_upstream() {
    let (_front, client, closed) = tunnel(ProxyConfig::default()).await;
    client.stream.set_zero_linger().unwrap();
    drop(client);
    soon("closed", closed.notified()).await;
}

#[tokio::test]
async fn a_silent_tunnel_is_ended() {
    let mut config = ProxyConfig::default();
    config.tunnel_idle = Some(Duration::from_millis(20));
    let (_front, mut client, closed) = tunnel(config).await;
    assert!(client.is_ended().await);
    soon("closed", closed.notified()).await;
}

#[tokio::test]
async fn tunnels_outlive_the_servers_drain_and_end_when_told() {
    let (mut front, mut client, closed) = tunnel(ProxyConfig::default()).await;
    front.stop.take();
    soon("drained", &mut front.server).await.unwrap();
    assert_eq!(front.forwarder.tunnels(), 1);
    soon("ended", front.forwarder.close_tunnels()).await;
    assert!(client.is_ended().await);
    soon("closed", closed.notified()).await;
    assert_eq!(front.forwarder.tunnels(), 0);
}

#[tokio::test]
async fn more_tunnels_than_allowed_are_503() {
    let mut config = ProxyConfig::default();
    config.max_tunnels = 1;
    let (front, _client, _closed) = tunnel(config).await;
    let mut second = Client::connect(front.addr).await;
    second.send(UPGRADE).await;
    assert_eq!(second.answer().await.status, 503);
}

#[tokio::test]
async fn tunnels_take_no_requests_turn_and_have_a_bound_of_their_own() {
    // Scenario: as many WebSockets as requests may be in flight, and no request gets through any more.
    let mut config = UpstreamConfig::default();
    config.max_in_flight = 1;
    config.max_waiting = 0;
    config.max_tunnels = 1;
    let (front, client, closed) = tunnel_to(config, ProxyConfig::default()).await;
    assert_eq!(get(front.addr, "/").await.status, 200);
    let mut second = Client::connect(front.addr).await;
    second.send(UPGRADE).await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    drop(client);
    soon("closed", closed.notified()).await;
    // Its place is free again when both ends have ended.
    soon("a place", async {
        loop {
            let mut third = Client::connect(front.addr).await;
            third.send(UPGRADE).await;
            let mut buffer = Vec::new();
            if read_head(&mut third.stream, &mut buffer).await.unwrap().starts_with("HTTP/1.1 101") {
                break;
            }
        }
    })
    .await;
}
