//! What could be read in two ways is refused, and never reaches the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use tokio::io::AsyncReadExt;
use tramline_streaming_proxy::server::ServerConfig;

use crate::client::Client;
use crate::origin::{Bare, Front, raw, real};

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = real({
        let count = count.clone();
        move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Response::new(Empty::<Bytes>::new()) }
        }
    })
    .await;
    let front = Front::new(upstream).await;
    for (what, request) in [
        (
            "differing lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        ),
        ("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"),
        ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
        ("xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        (
            "identity, chunked",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "two codings",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a coding in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("a host with a quote", "GET / HTTP/1.1\r\nHost: a\";for=6.6.6.6;x=\"\r\n\r\n"),
        ("a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ("another host in the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("dot segments", "GET /api/../admin HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("encoded dot segments", "GET /api/%2e%2E/admin HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("encoded slashes", "GET /api/..%2fadmin HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("backslashes", "GET /api\\..\\admin HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("parameters", "GET /api/..;x/admin HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "many nominations",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r\r\n\r\n",
        ),
    ] {
        let mut client = Client::connect(front.addr).await;
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.head);
        assert_eq!(count.load(Ordering::SeqCst), 0, "{what} reached the upstream");
        assert!(client.is_ended().await, "{what}: the connection goes on");
    }
    for method in ["TRACE /", "CONNECT a:80", "OPTIONS *"] {
        let mut client = Client::connect(front.addr).await;
        client.send(format!("{method} HTTP/1.1\r\nHost: a:80\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"), "{method}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_length_beside_chunks_is_dropped_and_ends_the_connection() {
    // Scenario: TE+CL. hyper reads the chunks and drops the length; what follows must not be read as a request.
    let paths = Arc::new(std::sync::Mutex::new(Vec::new()));
    let upstream = real({
        let paths = paths.clone();
        move |request: http::Request<hyper::body::Incoming>| {
            let paths = paths.clone();
            async move {
                let length = request.headers().contains_key("content-length");
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                paths.lock().unwrap().push((path, length, body));
                Response::new(Empty::<Bytes>::new())
            }
        }
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client
        .send(
            "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n\
             1\r\nz\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    let answer = client.answer().await;
    assert!(matches!(answer.status, 200 | 400), "{}", answer.head);
    assert!(client.is_ended().await);
    for (path, length, body) in paths.lock().unwrap().iter() {
        assert_eq!((path.as_str(), *length, body.as_ref()), ("/first", false, b"z".as_ref()));
    }
}

#[tokio::test]
async fn the_same_length_twice_is_one_length_upstream() {
    // RFC 9112, 6.3 allows it, and hyper has made one of them.
    let upstream = real(|request: http::Request<hyper::body::Incoming>| async move {
        assert_eq!(request.headers().get_all("content-length").iter().count(), 1);
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "abc");
        Response::new(Empty::<Bytes>::new())
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_broken_chunk_is_the_clients_fault() {
    // An upstream that takes all and says nothing: what is answered is the proxy's.
    let upstream = raw(|mut stream, _| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let front = Front::new(upstream).await;
    for (what, chunks) in [
        ("no size", "zz\r\nabc\r\n"),
        ("a size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("more than the size", "2\r\nabc\r\n0\r\n\r\n"),
        ("a size that overflows", "fffffffffffffffff\r\nabc\r\n"),
        ("a line feed in an extension", "2;a\nxx\r\nab\r\n0\r\n\r\n"),
    ] {
        let mut client = Client::connect(front.addr).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send(chunks).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"), "{what}");
        assert!(client.is_ended().await, "{what}: the connection goes on");
    }
}

#[tokio::test]
async fn a_request_for_two_hosts_reaches_no_service() {
    // RFC 9112, 3.2: a server must answer 400, whatever it serves.
    let bare = Bare::new(ServerConfig::default()).await;
    let mut client = Client::connect(bare.addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"));
    assert!(answer.text().contains("several Host fields"), "{}", answer.text());
    assert!(client.is_ended().await);
}
