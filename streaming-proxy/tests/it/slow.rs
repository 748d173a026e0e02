//! Clients that are slow, and clients that are many.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tramline_streaming_proxy::edge::MinRate;
use tramline_streaming_proxy::server::ServerConfig;

use crate::client::Client;
use crate::origin::{Bare, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_reader_that_is_too_slow_is_cut() {
    let mut config = ServerConfig::default();
    config.write_timeout = Duration::from_secs(1000);
    config.write_rate = Some(MinRate::new(u32::MAX, Duration::from_millis(30)));
    let mut front = Bare::answering(config, |_| "x".repeat(64 << 20)).await;
    let mut client = Client::connect(front.addr).await;
    client.send(GET).await;
    let mut first = [0; 1];
    soon("the answer begins", client.stream.peek(&mut first)).await.unwrap();
    front.stop.take();
    // The client holds its end open and reads nothing: only the rate lets the drain end.
    soon("drained", &mut front.server).await.unwrap();
    drop(client);
}

/// What the kernel has taken leaves after all, and tells how much that was.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_takes_little_for_a_client_that_reads_nothing() {
    let mut config = ServerConfig::default();
    config.write_timeout = Duration::from_millis(30);
    config.max_unsent = Some(32 * 1024);
    let mut front = Bare::answering(config, |_| "x".repeat(64 << 20)).await;
    let mut client = Client::connect(front.addr).await;
    client.send(GET).await;
    let mut first = [0; 1];
    soon("the answer begins", client.stream.peek(&mut first)).await.unwrap();
    front.stop.take();
    soon("cut", &mut front.server).await.unwrap();
    let mut taken = Vec::new();
    let _ = soon("the end", client.stream.read_to_end(&mut taken)).await;
    // What the client's own kernel takes is among it.
    assert!(taken.len() < 512 * 1024, "{} KiB", taken.len() / 1024);
}

#[tokio::test]
async fn one_connection_too_many_from_an_address_is_closed() {
    let mut config = ServerConfig::default();
    config.max_connections_per_address = Some(2);
    let front = Bare::new(config).await;
    let mut first = Client::connect(front.addr).await;
    let mut second = Client::connect(front.addr).await;
    for client in [&mut first, &mut second] {
        client.send(GET).await;
        assert_eq!(client.answer().await.status, 200);
    }
    let mut third = Client::connect(front.addr).await;
    assert!(third.is_ended().await);
    // Another address of this machine is another client.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = Client::over(soon("connect", other.connect(front.addr)).await.unwrap());
    other.send(GET).await;
    assert_eq!(other.answer().await.status, 200);

    // A connection that ends gives its place back, once the server has seen it.
    drop(first);
    let retried = async {
        loop {
            let mut client = Client::<TcpStream>::connect(front.addr).await;
            client.send(GET).await;
            if let Some(answer) = client.try_answer().await {
                return answer.status;
            }
        }
    };
    assert_eq!(soon("a place", retried).await, 200);
}
