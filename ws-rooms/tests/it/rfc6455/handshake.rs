//! Section 4.2: what opens a WebSocket, and what does not.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::serve;

pub(super) const UPGRADE: [(&str, &str); 5] = [
    ("host", "x"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Sends a request; the stream behind the head of the answer, and that head in lower case.
pub(super) async fn ask(addr: SocketAddr, line: &str, headers: &[(&str, &str)]) -> (TcpStream, String) {
    let mut text = format!("{line}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap().to_lowercase())
}

/// The usual headers with these in place of their namesakes; none where there is no value.
async fn with(headers: &[(&'static str, Option<&'static str>)]) -> String {
    let mut all: Vec<_> = UPGRADE.to_vec();
    for (name, value) in headers {
        all.retain(|(known, _)| known != name);
        all.extend(value.map(|value| (*name, value)));
    }
    ask(serve().await, "GET /chat?x=1 HTTP/1.1", &all).await.1
}

#[tokio::test]
async fn what_opens_one() {
    let head = with(&[]).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"));
    assert!(!head.contains("sec-websocket-protocol") && !head.contains("sec-websocket-extensions"), "{head}");
    for header in [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("origin", "http://anywhere.example"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        // What is offered is not chosen.
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-protocol", "tramline.v1"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
    ] {
        let head = with(&[(header.0, Some(header.1))]).await;
        assert!(head.starts_with("http/1.1 101 "), "{header:?}: {head}");
        assert!(!head.contains("sec-websocket-protocol") && !head.contains("sec-websocket-extensions"));
    }
}

#[tokio::test]
async fn what_does_not() {
    for header in [
        ("connection", None),
        ("connection", Some("keep-alive")),
        ("upgrade", None),
        ("upgrade", Some("h2c")),
        ("sec-websocket-version", None),
        ("sec-websocket-version", Some("0")),
        ("sec-websocket-version", Some("8")),
        ("sec-websocket-version", Some("14")),
        ("sec-websocket-version", Some("13, 8")),
        ("sec-websocket-key", None),
        ("sec-websocket-key", Some("")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZQ==")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZSBpcyBsb25n")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25j!Q==")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==")),
    ] {
        let head = with(&[header]).await;
        assert!(head.starts_with("http/1.1 426 "), "{header:?}: {head}");
        // Which says to a client of another version what to ask for.
        assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    }
    for name in ["sec-websocket-key", "sec-websocket-version"] {
        let mut twice = UPGRADE.to_vec();
        twice.extend(UPGRADE.iter().find(|(known, _)| *known == name));
        let (_, head) = ask(serve().await, "GET / HTTP/1.1", &twice).await;
        assert!(head.starts_with("http/1.1 426 "), "two {name}: {head}");
    }
    for line in ["POST / HTTP/1.1", "PUT / HTTP/1.1", "OPTIONS / HTTP/1.1", "GET / HTTP/1.0"] {
        let (_, head) = ask(serve().await, line, &UPGRADE).await;
        assert!(head.contains(" 426 "), "{line}: {head}");
    }
}
