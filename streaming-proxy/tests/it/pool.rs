//! Kept connections, the race when one is closed, and several addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::{ProxyConfig, UpstreamConfig};

use crate::client::{Client, get, once, read_head};
use crate::origin::{Front, listen, raw, real, soon};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn connections_are_kept_across_clients() {
    let connections = Arc::new(AtomicUsize::new(0));
    let upstream = raw({
        let connections = connections.clone();
        move |mut stream, _| {
            connections.fetch_add(1, Ordering::SeqCst);
            async move {
                let mut buffer = Vec::new();
                while read_head(&mut stream, &mut buffer).await.is_some() {
                    stream.write_all(OK).await.unwrap();
                }
            }
        }
    })
    .await;
    let front = Front::new(upstream).await;
    for _ in 0..20 {
        assert_eq!(get(front.addr, "/").await.text(), "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// Answers once, then reads the next request on the same connection and closes without a word.
async fn closes_at_the_second(served: Arc<AtomicUsize>) -> std::net::SocketAddr {
    raw(move |mut stream, _| {
        let served = served.clone();
        async move {
            let mut buffer = Vec::new();
            if read_head(&mut stream, &mut buffer).await.is_some() {
                served.fetch_add(1, Ordering::SeqCst);
                stream.write_all(OK).await.unwrap();
            }
            read_head(&mut stream, &mut buffer).await;
        }
    })
    .await
}

#[tokio::test]
async fn the_keep_alive_race_is_no_502_for_what_may_be_repeated() {
    // Scenario: the upstream closes a kept connection at the moment the next request is on its way.
    let served = Arc::new(AtomicUsize::new(0));
    let front = Front::new(closes_at_the_second(served.clone()).await).await;
    for n in 1..=10 {
        let answer = get(front.addr, "/").await;
        assert_eq!((answer.status, answer.text()), (200, "ok"), "request {n}");
    }
    assert_eq!(served.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn the_same_race_does_not_repeat_a_post() {
    let served = Arc::new(AtomicUsize::new(0));
    let front = Front::new(closes_at_the_second(served.clone()).await).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(once(front.addr, post).await.status, 200);
    let answer = once(front.addr, post).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "BAD_GATEWAY"));
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_not_used() {
    // The body must survive: nothing of it was sent on the closed connection.
    let whole = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&whole);
    let upstream = raw(move |mut stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            let mut buffer = Vec::new();
            let Some(head) = read_head(&mut stream, &mut buffer).await else { return };
            if head.starts_with("POST") {
                while buffer.len() < 4 {
                    if tokio::io::AsyncReadExt::read_buf(&mut stream, &mut buffer).await.unwrap() == 0 {
                        return;
                    }
                }
                if buffer == b"body"[..] {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let front = Front::new(upstream).await;
    let mut answered = 0;
    for _ in 0..20 {
        let answer = once(front.addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").await;
        // The close may cross the request on its way: that one is told, and sent by nobody twice.
        assert!(matches!(answer.status, 200 | 502), "{}", answer.head);
        answered += usize::from(answer.status == 200);
        assert_eq!(get(front.addr, "/").await.status, 200);
    }
    assert!(answered > 0, "each of them was sent on a closed connection");
    assert!(whole.load(Ordering::SeqCst) >= answered, "each answer is to a whole body");
}

#[tokio::test]
async fn keep_alive_timeouts_of_the_upstream_are_obeyed() {
    let upstream = raw(|mut stream, number| async move {
        let mut buffer = Vec::new();
        while read_head(&mut stream, &mut buffer).await.is_some() {
            let text =
                format!("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 1\r\n\r\n{number}");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    })
    .await;
    let front = Front::new(upstream).await;
    // A second less than one second is nothing at all.
    assert_eq!(get(front.addr, "/").await.text(), "0");
    assert_eq!(get(front.addr, "/").await.text(), "1");
}

#[tokio::test]
async fn bytes_after_an_answer_poison_the_connection() {
    let upstream = raw(|mut stream, number| async move {
        let mut buffer = Vec::new();
        while read_head(&mut stream, &mut buffer).await.is_some() {
            let text =
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}HTTP/1.1 200 OK\r\n\r\nevil");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    })
    .await;
    let front = Front::new(upstream).await;
    for number in ["0", "1", "2"] {
        assert_eq!(get(front.addr, "/").await.text(), number);
    }
}

#[tokio::test]
async fn a_dead_address_is_passed_over_and_found_again() {
    let (free, dead) = listen().await;
    drop(free);
    let alive = real(|_| async { Response::new(Full::new(Bytes::from_static(b"alive"))) }).await;
    let mut config = UpstreamConfig::default();
    config.avoid = Duration::from_millis(1);
    config.avoid_max = Duration::from_millis(1);
    let front = Front::with(&[dead, alive], config, Timeouts::default(), ProxyConfig::default()).await;
    for _ in 0..30 {
        // A POST too: nothing of it was sent to the dead one.
        let answer = once(front.addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(answer.text(), "alive");
    }
    // It comes back.
    let listener = tokio::net::TcpListener::bind(dead).await.unwrap();
    let back = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback").await.unwrap();
        stream
    });
    soon("the address is used again", async { while get(front.addr, "/").await.text() != "back" {} }).await;
    drop(soon("back", back).await);
}

#[tokio::test]
async fn one_address_that_is_away_is_502_and_recovers_by_itself() {
    let (free, addr) = listen().await;
    drop(free);
    let front = Front::new(addr).await;
    for _ in 0..5 {
        let answer = get(front.addr, "/p").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "BAD_GATEWAY"));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = Vec::new();
        while read_head(&mut stream, &mut buffer).await.is_some() {
            stream.write_all(OK).await.unwrap();
        }
    });
    assert_eq!(get(front.addr, "/").await.status, 200);
}

#[tokio::test]
async fn more_than_may_wait_is_503_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let arrived = Arc::new(Semaphore::new(0));
    let upstream = real({
        let (gate, arrived) = (gate.clone(), arrived.clone());
        move |_| {
            let (gate, arrived) = (gate.clone(), arrived.clone());
            async move {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
                Response::new(Full::new(Bytes::from_static(b"ok")))
            }
        }
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.max_in_flight = 1;
    config.max_waiting = 0;
    let front = Front::with(&[upstream], config, Timeouts::default(), ProxyConfig::default()).await;
    let mut first = Client::connect(front.addr).await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon("the first arrives", arrived.acquire()).await.unwrap().forget();
    let answer = get(front.addr, "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    gate.add_permits(10);
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(get(front.addr, "/").await.status, 200);
}

#[tokio::test]
async fn a_kept_connection_that_is_not_ready_leaves_the_connect_its_time() {
    // Scenario: the upstream answers a request whole without reading its body, which hyper has taken and cannot
    // write. The connection is kept and will never be ready.
    let upstream = raw(|mut stream, _| async move {
        let mut buffer = Vec::new();
        while read_head(&mut stream, &mut buffer).await.is_some_and(|head| head.starts_with("GET")) {
            stream.write_all(OK).await.unwrap();
        }
        stream.write_all(OK).await.unwrap();
        std::future::pending().await
    })
    .await;
    let front = Front::new(upstream).await;
    let large = Full::new(Bytes::from(vec![0; 64 << 20]));
    let request = http::Request::post("/").header("host", "a").body(large).unwrap();
    let response = soon("the first", front.forwarder.clone().oneshot(request)).await.unwrap();
    assert_eq!(http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes(), "ok");
    assert_eq!(get(front.addr, "/").await.status, 200);
}

#[tokio::test]
async fn errors_of_the_upstream_are_no_good_news() {
    // Scenario: every other request is dropped, and the ones between are answered 503. That is not an address that
    // is fine again.
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = raw(move |mut stream, _| {
        let count = count.clone();
        async move {
            let mut buffer = Vec::new();
            read_head(&mut stream, &mut buffer).await;
            if count.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
                let _ =
                    stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.failures = 2;
    let front = Front::with(&[upstream], config, Timeouts::default(), ProxyConfig::default()).await;
    let table = front.forwarder.routes();
    let upstream = &table.iter().next().unwrap().upstream;
    for (status, available) in [(502, 1), (503, 1), (502, 0)] {
        assert_eq!(get(front.addr, "/").await.status, status);
        assert_eq!(upstream.available(), available);
    }
}
