//! Each mode of the proxy, in front of a server that sends back what it gets.

use std::time::Duration;

use devkit::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const SILENCE: Duration = Duration::from_millis(150);

async fn echo() -> Fault {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    Fault::new(addr).await.unwrap()
}

async fn round(socket: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    socket.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    socket.read_exact(&mut answer).await?;
    assert_eq!(answer, text);
    Ok(())
}

#[tokio::test]
async fn passes_bytes_and_ends_through() {
    let fault = echo().await;
    let mut socket = TcpStream::connect(fault.addr()).await.unwrap();
    let big = vec![7; 1 << 20];
    let (mut read, mut write) = socket.split();
    let mut back = Vec::new();
    let (sent, received) = tokio::join!(
        async {
            write.write_all(&big).await?;
            write.shutdown().await
        },
        read.read_to_end(&mut back)
    );
    sent.unwrap();
    received.unwrap();
    assert_eq!(back, big);
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_what_comes_until_healed() {
    let fault = echo().await;
    let mut open = TcpStream::connect(fault.addr()).await.unwrap();
    round(&mut open, b"before").await.unwrap();
    fault.cut();
    let error = open.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let refused = async {
        let mut socket = TcpStream::connect(fault.addr()).await?;
        round(&mut socket, b"during").await
    };
    assert!(refused.await.is_err());
    fault.heal();
    let mut socket = TcpStream::connect(fault.addr()).await.unwrap();
    round(&mut socket, b"after").await.unwrap();
}

#[tokio::test]
async fn a_cut_that_is_healed_at_once_still_resets_what_was_open() {
    let fault = echo().await;
    let mut open = TcpStream::connect(fault.addr()).await.unwrap();
    round(&mut open, b"before").await.unwrap();
    fault.cut_once();
    assert!(open.read_u8().await.is_err());
    let mut socket = TcpStream::connect(fault.addr()).await.unwrap();
    round(&mut socket, b"after").await.unwrap();
}

#[tokio::test]
async fn half_open_is_silent_and_loses_nothing() {
    let fault = echo().await;
    let mut open = TcpStream::connect(fault.addr()).await.unwrap();
    round(&mut open, b"before").await.unwrap();
    fault.half_open();
    open.write_all(b"during").await.unwrap();
    let mut fresh = TcpStream::connect(fault.addr()).await.unwrap();
    fresh.write_all(b"fresh").await.unwrap();
    assert!(timeout(SILENCE, open.read_u8()).await.is_err());
    assert!(timeout(SILENCE, fresh.read_u8()).await.is_err());
    fault.heal();
    let mut answer = [0; 6];
    open.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"during");
    fresh.read_exact(&mut answer[..5]).await.unwrap();
    assert_eq!(&answer[..5], b"fresh");
}

#[tokio::test]
async fn answers_are_held_and_what_was_asked_is_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fault = Fault::new(listener.local_addr().unwrap()).await.unwrap();
    let mut open = TcpStream::connect(fault.addr()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    fault.hold_answers();
    for text in [b"first", b"other"] {
        open.write_all(text).await.unwrap();
        let mut asked = [0; 5];
        server.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, text);
        server.write_all(b"!").await.unwrap();
    }
    assert!(timeout(SILENCE, open.read_u8()).await.is_err());
    fault.heal();
    let mut answers = [0; 2];
    open.read_exact(&mut answers).await.unwrap();
    // One that is cut before it may pass never comes.
    fault.hold_answers();
    server.write_all(b"!").await.unwrap();
    fault.cut_once();
    fault.heal();
    assert!(open.read_u8().await.is_err());
}

#[tokio::test]
async fn delay_holds_each_direction() {
    let fault = echo().await;
    let mut socket = TcpStream::connect(fault.addr()).await.unwrap();
    round(&mut socket, b"warm").await.unwrap();
    fault.delay(Duration::from_millis(100));
    let start = Instant::now();
    round(&mut socket, b"slow").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
    fault.heal();
    round(&mut socket, b"fast").await.unwrap();
}

#[tokio::test]
async fn throttle_bounds_the_rate() {
    let fault = echo().await;
    let mut socket = TcpStream::connect(fault.addr()).await.unwrap();
    fault.throttle(20_000);
    let start = Instant::now();
    round(&mut socket, &[1; 10_000]).await.unwrap();
    // Half a second less the last step.
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn urls_are_rewritten_with_their_credentials() {
    let fault = echo().await;
    let addr = fault.addr();
    assert_eq!(fault.url("amqp://u:p@h:1/%2f"), format!("amqp://u:p@{addr}/%2f"));
    assert_eq!(fault.url("redis://h:1"), format!("redis://{addr}"));
    let (other, url) = Fault::in_front_of(&format!("redis://{addr}/0")).await.unwrap();
    assert_eq!(url, format!("redis://{}/0", other.addr()));
    let mut socket = TcpStream::connect(other.addr()).await.unwrap();
    round(&mut socket, b"through both").await.unwrap();
}
