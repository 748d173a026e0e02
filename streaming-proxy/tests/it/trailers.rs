//! Fields after the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics_util::debugging::DebuggingRecorder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, read_head};
use crate::metrics::outcomes;
use crate::origin::{Front, raw};

/// Answers every chunked request with a trailer, and shows the one that it got in the body.
async fn upstream(connections: Arc<AtomicUsize>) -> std::net::SocketAddr {
    raw(move |mut stream, _| {
        connections.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut buffer = Vec::new();
            while let Some(head) = read_head(&mut stream, &mut buffer).await {
                assert!(head.contains("te: trailers\r\n") && head.contains("trailer: x-up\r\n"), "{head}");
                // The body ends like a head: with an empty line.
                while !buffer.windows(4).any(|four| four == b"\r\n\r\n") {
                    if stream.read_buf(&mut buffer).await.unwrap() == 0 {
                        return;
                    }
                }
                assert_eq!(String::from_utf8_lossy(&buffer), "2\r\nup\r\n0\r\nx-up: 1\r\n\r\n");
                buffer.clear();
                let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-down\r\n\r\n\
                    4\r\ndown\r\n0\r\nx-down: 2\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn pass_both_ways_and_end_the_exchange() {
    // Scenario: hyper drops a body when it has its trailers and never asks for more. That is an end, not a client
    // that left: the exchange is whole, and its connection serves the next.
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let connections = Arc::new(AtomicUsize::new(0));
    let front = Front::new(upstream(connections.clone()).await).await;
    let mut client = Client::connect(front.addr).await;
    for _ in 0..3 {
        client
            .send(
                "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTrailer: x-up\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\nup\r\n0\r\nx-up: 1\r\n\r\n",
            )
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text(), answer.trailers.as_str()), (200, "down", "x-down: 2\r\n"));
        assert_eq!(answer.header("trailer"), Some("x-down"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(outcomes(&snapshotter), ["/ test answered 3"]);
}

/// An upstream that merges trailers with the head would believe them.
#[tokio::test]
async fn claim_nothing_that_a_head_must_not() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let origin = raw(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            let mut buffer = Vec::new();
            let _ = read_head(&mut stream, &mut buffer).await;
            while !buffer.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0);
            }
            tell.send(String::from_utf8(buffer).unwrap()).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let front = Front::new(origin).await;
    let mut client = Client::connect(front.addr).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
             Trailer: x-forwarded-for, x_forwarded_for, forwarded, x-real-ip, cookie, x-request-id, keep-alive, x-sum\r\n\r\n\
             2\r\nup\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
             X-Real-IP: 6.6.6.6\r\nCookie: a=b\r\nX-Request-Id: mine\r\nKeep-Alive: timeout=9\r\nX-Sum: 7\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.status, 204);
    assert_eq!(told.recv().await.unwrap(), "2\r\nup\r\n0\r\nx-sum: 7\r\n\r\n");
}
