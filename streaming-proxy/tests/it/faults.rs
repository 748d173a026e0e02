//! Upstreams and clients that break off, hang, or talk nonsense.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tramline_streaming_proxy::config::Timeouts;

use crate::client::{Client, get, once, read_head};
use crate::origin::{Front, Raise, raw, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn short() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.response_header = Some(Duration::from_millis(50));
    timeouts.response_idle = Some(Duration::from_millis(50));
    timeouts.request_idle = Some(Duration::from_millis(50));
    timeouts
}

/// An upstream that reads a head, writes `bytes`, and closes.
async fn says(bytes: &'static [u8]) -> Front {
    let upstream = raw(move |mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        let _ = stream.write_all(bytes).await;
    })
    .await;
    Front::new(upstream).await
}

#[tokio::test]
async fn what_is_no_answer_is_502() {
    for (what, bytes) in [
        ("nothing", b"".as_slice()),
        ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("another protocol", b"SSH-2.0-OpenSSH_9.9\r\n"),
        ("differing lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        (
            "a switch that nobody asked for",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        ),
    ] {
        let front = says(bytes).await;
        let answer = get(front.addr, "/where?secret").await;
        assert_eq!(answer.status, 502, "{what}");
        assert_eq!(answer.code(), "BAD_GATEWAY", "{what}");
        assert!(answer.text().contains("\"instance\":\"/where\""), "{}", answer.text());
    }
}

#[tokio::test]
async fn informational_answers_do_not_disturb() {
    let front = says(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    assert_eq!(get(front.addr, "/").await.text(), "ok");
}

#[tokio::test]
async fn chunks_beat_a_length_in_an_answer() {
    let front = says(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let answer = get(front.addr, "/").await;
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn a_length_that_is_none_is_502_where_no_body_follows_too() {
    // Scenario: found by fuzzing. hyper reads no length of a 304, and the client got the field as it was.
    for (what, length) in [
        ("no number", b"Content-Length: \xff 50\r\n".as_slice()),
        ("a sign", b"Content-Length: +5\r\n"),
        ("nothing", b"Content-Length:\r\n"),
        ("two that differ", b"Content-Length: 1\r\nContent-Length: 2\r\n"),
        ("a list", b"Content-Length: 1, 2\r\n"),
    ] {
        for (status, method) in [("304 Not Modified", "GET"), ("204 No Content", "GET"), ("200 OK", "HEAD")] {
            let bytes = [format!("HTTP/1.1 {status}\r\n").as_bytes(), length, b"\r\n"].concat();
            let front = says(Vec::leak(bytes)).await;
            let mut client = Client::connect(front.addr).await;
            client.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let head = client.head().await.unwrap();
            assert!(head.starts_with("HTTP/1.1 502 "), "{what} in {status} to {method}: {head}");
        }
    }
}

#[tokio::test]
async fn a_coding_that_we_do_not_know_is_502() {
    // Scenario: the field is removed, since it is of that hop; the client would take the coded bytes for the body.
    for (what, bytes) in [
        (
            "under the chunks",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nzz\r\n0\r\n\r\n".as_slice(),
        ),
        (
            "in a field of its own",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nzz\r\n0\r\n\r\n",
        ),
        ("alone", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz"),
        ("nothing to undo", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nzz"),
        ("in 1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nzz\r\n0\r\n\r\n"),
    ] {
        let front = says(bytes).await;
        let answer = get(front.addr, "/").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "BAD_GATEWAY"), "{what}");
    }
    let front = says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nzz\r\n0\r\n\r\n").await;
    assert_eq!(get(front.addr, "/").await.text(), "zz");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_seen_as_broken() {
    for bytes in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart".as_slice(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let front = says(bytes).await;
        let mut client = Client::connect(front.addr).await;
        client.send(GET).await;
        let mut all = Vec::new();
        let _ = soon("the end", client.stream.read_to_end(&mut all)).await;
        let all = String::from_utf8(all).unwrap();
        assert!(all.starts_with("HTTP/1.1 200"), "{all}");
        assert!(!all.ends_with("0\r\n\r\n"), "the truncation is hidden: {all}");
    }
}

#[tokio::test]
async fn a_reset_before_the_answer_is_502_and_in_the_body_is_broken() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        let head = read_head(&mut stream, &mut buffer).await.unwrap();
        if head.starts_with("GET /body") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").await.unwrap();
        }
        stream.set_zero_linger().unwrap();
    })
    .await;
    let front = Front::new(upstream).await;
    assert_eq!(get(front.addr, "/").await.status, 502);
    let mut client = Client::connect(front.addr).await;
    client.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = soon("the end", client.try_answer()).await;
    // A reset may overtake the head.
    assert!(answer.is_none_or(|answer| answer.status == 502));
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_504_and_its_connection_is_closed() {
    let closed = Arc::new(Notify::new());
    let upstream = raw({
        let closed = closed.clone();
        move |mut stream, _| {
            let raise = Raise(closed.clone());
            async move {
                let mut sink = Vec::new();
                let _ = stream.read_to_end(&mut sink).await;
                drop(raise);
            }
        }
    })
    .await;
    let front = Front::timed(upstream, short()).await;
    let answer = get(front.addr, "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "GATEWAY_TIMEOUT"));
    soon("closed", closed.notified()).await;
}

#[tokio::test]
async fn a_head_that_drips_is_504() {
    let upstream = raw(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await;
        // The beat of a peer that is slow, far inside the limit; nothing here waits for anything by it.
        let mut beat = tokio::time::interval(Duration::from_millis(5));
        while stream.write_all(b"z").await.is_ok() {
            beat.tick().await;
        }
    })
    .await;
    let front = Front::timed(upstream, short()).await;
    let answer = get(front.addr, "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "GATEWAY_TIMEOUT"));
}

#[tokio::test]
async fn a_body_that_stops_is_ended() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").await.unwrap();
        let _ = stream.read_to_end(&mut buffer).await;
    })
    .await;
    let mut timeouts = Timeouts::default();
    timeouts.response_idle = Some(Duration::from_millis(50));
    let front = Front::timed(upstream, timeouts).await;
    let mut client = Client::connect(front.addr).await;
    client.send(GET).await;
    assert!(soon("the end", client.try_answer()).await.is_none());
}

#[tokio::test]
async fn a_total_limit_holds_for_a_body_that_never_stops() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'z'; 1024]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut timeouts = Timeouts::default();
    timeouts.total = Some(Duration::from_millis(50));
    let front = Front::timed(upstream, timeouts).await;
    let mut client = Client::connect(front.addr).await;
    client.send(GET).await;
    let mut sink = Vec::new();
    let _ = soon("the end", client.stream.read_to_end(&mut sink)).await;
    assert!(!sink.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn a_client_that_stops_sending_is_408() {
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        let _ = stream.read_to_end(&mut buffer).await;
    })
    .await;
    let mut timeouts = short();
    // Far above the limit that is meant, or a busy machine would meet this one first.
    timeouts.response_header = Some(Duration::from_secs(5));
    let front = Front::timed(upstream, timeouts).await;
    let answer = once(front.addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart").await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQUEST_TIMEOUT"));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_at_once() {
    for (what, request, answered) in [
        ("before the answer", GET, false),
        ("in the middle of the answer", GET, true),
        (
            "in the middle of the upload",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart",
            false,
        ),
    ] {
        let arrived = Arc::new(Notify::new());
        let closed = Arc::new(Notify::new());
        let upstream = raw({
            let (arrived, closed) = (arrived.clone(), closed.clone());
            move |mut stream, _| {
                let (arrived, raise) = (arrived.clone(), Raise(closed.clone()));
                async move {
                    let mut buffer = Vec::new();
                    read_head(&mut stream, &mut buffer).await;
                    if answered {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
                    }
                    arrived.notify_one();
                    let _ = stream.read_to_end(&mut buffer).await;
                    drop(raise);
                }
            }
        })
        .await;
        let front = Front::new(upstream).await;
        let mut client = Client::connect(front.addr).await;
        client.send(request).await;
        soon("arrived", arrived.notified()).await;
        drop(client);
        soon(what, closed.notified()).await;
    }
}

#[tokio::test]
async fn an_early_answer_reaches_the_client_and_ends_the_upload() {
    let closed = Arc::new(Notify::new());
    let upstream = raw({
        let closed = closed.clone();
        move |mut stream, _| {
            let raise = Raise(closed.clone());
            async move {
                let mut buffer = Vec::new();
                read_head(&mut stream, &mut buffer).await;
                stream
                    .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
                    .await
                    .unwrap();
                let _ = stream.read_to_end(&mut buffer).await;
                drop(raise);
            }
        }
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "big"));
    // The client is still there; the connection to the upstream must not be.
    soon("closed", closed.notified()).await;
}

#[tokio::test]
async fn an_early_answer_is_read_by_a_client_that_sends_on() {
    // Scenario: most clients read when they have written all. More than the kernel holds: if the proxy closed the
    // connection with unread bytes in it, the reset would take the answer along.
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await.unwrap();
        std::future::pending().await
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n").await;
    client.send(vec![b'z'; 16 << 20]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "big"));
    assert!(client.is_ended().await);
    // The proxy's own refusals, too.
    let mut client = Client::connect(front.addr).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 16777216\r\n\r\n").await;
    client.send(vec![b'z'; 16 << 20]).await;
    assert_eq!(client.answer().await.status, 400);
}

#[tokio::test]
async fn a_connect_that_gets_no_answer_is_504() {
    // A listener whose queue is full answers no SYN on Linux: as near to a vanished machine as loopback comes.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(addr)).await
    {
        held.push(stream);
    }
    let mut config = tramline_streaming_proxy::UpstreamConfig::default();
    config.connect_timeout = Duration::from_millis(50);
    let front =
        Front::with(&[addr], config, Timeouts::default(), tramline_streaming_proxy::ProxyConfig::default())
            .await;
    let answer = get(front.addr, "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "GATEWAY_TIMEOUT"));
}
