//! `Expect: 100-continue` from end to end, and what becomes of other interim answers.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tramline_streaming_proxy::config::Timeouts;

use crate::client::{Client, once, read_head};
use crate::origin::{Front, SOON, raw, soon};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n";

/// Times in which nothing goes unasked while a test waits.
fn patient() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.expect_continue = Some(SOON * 10);
    timeouts
}

#[tokio::test]
async fn the_hundred_is_the_upstreams() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        // More than one on a connection.
        while let Some(head) = read_head(&mut stream, &mut buffer).await {
            assert!(head.contains("\r\nexpect: 100-Continue\r\n"), "{head}");
            assert!(buffer.is_empty(), "nothing before it is asked for");
            // Whatever else comes before.
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await.unwrap();
            stream.write_all(&body).await.unwrap();
        }
    })
    .await;
    let front = Front::timed(upstream, patient()).await;
    let mut client = Client::connect(front.addr).await;
    for body in ["hello", "again"] {
        client.send(HEAD).await;
        assert_eq!(soon("100", client.head()).await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send(body).await;
        assert_eq!(client.answer().await.text(), body);
    }
}

#[tokio::test]
async fn a_refusal_before_the_body_uploads_nothing() {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let upstream = raw(move |mut stream, _| {
        let tell = tell.lock().unwrap().take();
        async move {
            let mut buffer = Vec::new();
            read_head(&mut stream, &mut buffer).await.unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
            // All that still comes.
            stream.read_to_end(&mut buffer).await.unwrap();
            tell.unwrap().send(buffer).unwrap();
        }
    })
    .await;
    let front = Front::timed(upstream, patient()).await;
    let mut client = Client::connect(front.addr).await;
    client.send(HEAD).await;
    let answer = client.answer().await;
    // The first that it hears: no `100` has asked for the body.
    assert_eq!((answer.status, answer.text()), (403, "no"));
    assert_eq!(soon("the upstream's end", told).await.unwrap(), b"");
    // A client that sends all the same does not have its body taken for a request.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.is_ended().await);
}

#[tokio::test]
async fn an_upstream_that_ignores_it_gets_the_body_after_a_while() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await.unwrap();
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await.unwrap();
        stream.write_all(&body).await.unwrap();
    })
    .await;
    let mut timeouts = Timeouts::default();
    assert_eq!(timeouts.expect_continue, Some(Duration::from_secs(1)));
    timeouts.expect_continue = Some(Duration::from_millis(10));
    let front = Front::timed(upstream, timeouts).await;
    let mut client = Client::connect(front.addr).await;
    client.send(HEAD).await;
    assert_eq!(soon("100", client.head()).await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn what_is_no_expectation_waits_for_nobody() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        let head = read_head(&mut stream, &mut buffer).await.unwrap();
        assert!(!head.contains("expect"), "{head}");
        if head.starts_with("POST") {
            let mut body = [0; 5];
            // What came with the head is here already.
            let have = buffer.len();
            stream.read_exact(&mut body[have..]).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let front = Front::timed(upstream, patient()).await;
    for request in [
        "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    ] {
        assert_eq!(once(front.addr, request).await.status, 200, "{request}");
    }
}

#[tokio::test]
async fn other_interim_answers_are_left_out_and_disturb_nothing() {
    // hyper's server cannot send them: the answer that they announce comes as if they had not been there.
    let upstream = raw(|mut stream, count| async move {
        assert_eq!(count, 0, "one connection for all");
        let mut buffer = Vec::new();
        while read_head(&mut stream, &mut buffer).await.is_some() {
            let hints =
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: close\r\n\r\n";
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(format!("{hints}{hints}{answer}").as_bytes()).await.unwrap();
        }
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
        assert!(answer.header("link").is_none(), "{}", answer.head);
    }
}
