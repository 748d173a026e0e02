//! What could be read in two ways.

use super::bed::{Bed, HOST};
use crate::support::Setup;

/// Each is refused, and what it hides reaches no service.
#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let chunked = "Transfer-Encoding: chunked";
    let hidden = format!("GET /api/auth/hidden HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for bed in Bed::both(Setup::default).await {
        for (what, fields, body) in [
            ("two lengths", "Content-Length: 3\r\nContent-Length: 4", "abcd"),
            ("a list of lengths", "Content-Length: 3, 3", "abc"),
            ("a signed length", "Content-Length: +3", "abc"),
            ("a space before the colon", "Content-Length : 3", "abc"),
            ("xchunked", "Transfer-Encoding: xchunked", "0\r\n\r\n"),
            ("identity, chunked", "Transfer-Encoding: identity, chunked", "0\r\n\r\n"),
            ("two codings", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
            ("no size", chunked, "zz\r\nabc\r\n"),
            ("a size with a sign", chunked, "+3\r\nabc\r\n0\r\n\r\n"),
            ("another host", "Host: other.example\r\nContent-Length: 3", "abc"),
            ("the same host twice", "Host: example.com\r\nContent-Length: 3", "abc"),
            ("a NUL", "X: a\0b\r\nContent-Length: 3", "abc"),
        ] {
            let mut wire = bed.connect().await;
            let head = format!("POST /api/auth/ambiguous HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n");
            // What follows may not become a request.
            wire.send(format!("{head}{body}{hidden}")).await;
            let answer = wire.answer().await;
            assert!(matches!(answer.status, 400 | 501), "{}: {what}: {answer:?}", bed.name);
            assert!(wire.is_ended().await, "{}: {what}: the connection goes on", bed.name);
            assert!(bed.world.services.seen("/api/auth/hidden").is_empty(), "{}: {what}", bed.name);
        }
        bed.stop().await;
    }
}

/// A length beside chunks: the one edge refuses it, the other reads the chunks and ends the connection (RFC 9112, 6.3).
#[tokio::test]
async fn a_length_beside_chunks_hides_nothing() {
    for bed in Bed::both(Setup::default).await {
        let mut wire = bed.connect().await;
        let head = "POST /api/auth/first HTTP/1.1\r\nHost: example.com\r\nContent-Length: 6\r\nTransfer-Encoding: chunked";
        let hidden = "GET /api/auth/hidden HTTP/1.1\r\nHost: example.com\r\n\r\n";
        wire.send(format!("{head}\r\n\r\n1\r\nz\r\n0\r\n\r\n{hidden}")).await;
        let answer = wire.answer().await;
        assert!(matches!(answer.status, 200 | 400), "{}: {answer:?}", bed.name);
        assert!(wire.is_ended().await, "{}", bed.name);
        assert!(bed.world.services.seen("/api/auth/hidden").is_empty(), "{}", bed.name);
        bed.stop().await;
    }
}

/// No spelling of a path gets past what is said of the path.
#[tokio::test]
async fn paths_have_one_spelling() {
    for bed in Bed::both(Setup::default).await {
        for path in [
            "/api/auth//.well-known/revocations",
            "/api/auth/%2Ewell-known/revocations",
            "/api/auth/x/../.well-known/revocations",
            "/api/auth/x/%2e%2e/.well-known/revocations",
            "/api/auth/x%2f..%2f.well-known/revocations",
            "/api/auth\\.well-known\\revocations",
            "/api/auth/%6Cogin",
        ] {
            let answer = bed.get(path).await;
            assert!(matches!(answer.status, 400 | 404), "{}: {path}: {answer:?}", bed.name);
        }
        let services = &bed.world.services;
        for path in ["/api/auth/.well-known/revocations", "/.well-known/revocations", "/api/auth/login"] {
            assert!(services.seen(path).is_empty(), "{}: {path}", bed.name);
        }
        bed.stop().await;
    }
}

#[tokio::test]
async fn heads_have_a_size() {
    for bed in Bed::both(Setup::default).await {
        let long = "a".repeat(9 * 1024);
        assert_eq!(bed.get(&format!("/api/auth/thing?{long}")).await.status, 414, "{}", bed.name);
        let mut wire = bed.connect().await;
        let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n", "z".repeat(200 * 1024));
        wire.send(head).await;
        assert_eq!(wire.head().await.unwrap().0, 431, "{}", bed.name);
        assert!(bed.world.services.seen("/api/auth/thing").is_empty());
        bed.stop().await;
    }
}

#[tokio::test]
async fn methods_that_are_not_passed_on() {
    for bed in Bed::both(Setup::default).await {
        let ask = async |head: &str| bed.ask(format!("{head} HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n")).await;
        assert_eq!(ask("TRACE /api/auth/thing").await.status, 405, "{}", bed.name);
        // To nginx a target that is no path is nonsense.
        let answer = ask("CONNECT example.com:443").await;
        assert!(matches!(answer.status, 400 | 405), "{}: {answer:?}", bed.name);
        assert!(bed.world.services.seen("/api/auth/thing").is_empty());
        bed.stop().await;
    }
}
