//! What a client may send in all, byte by byte on a real socket.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{open, serve};
use crate::support::node;

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Sends these bytes and reads to the end; what came.
async fn answer(bytes: &[u8]) -> Vec<u8> {
    let mut stream = open(serve(node()).await).await;
    let (mut reads, mut writes) = stream.split();
    let mut all = Vec::new();
    // The server may have had enough before it has all.
    let (_, _) = tokio::join!(writes.write_all(bytes), reads.read_to_end(&mut all));
    all
}

fn closes_with(all: &[u8], code: u16) -> bool {
    all.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == code.to_be_bytes())
}

fn pongs(all: &[u8]) -> usize {
    String::from_utf8_lossy(all).matches("\"type\":\"pong\"").count()
}

const PING: &[u8] = br#"{"type":"ping"}"#;
/// «Done», so that an exchange which is allowed ends as well.
const NORMAL: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];

#[tokio::test]
async fn pongs_that_nobody_asked_for_are_messages_too() {
    let mut few = frame(0x8A, b"").repeat(10);
    few.extend(NORMAL);
    assert!(closes_with(&answer(&few).await, 1000));
    let many = frame(0x8A, b"").repeat(100);
    assert!(closes_with(&answer(&many).await, 4129));
    let pings = frame(0x89, b"x").repeat(100);
    assert!(closes_with(&answer(&pings).await, 4129));
}

#[tokio::test]
async fn a_message_in_too_many_pieces_is_too_big() {
    let pieces = |empty: usize| {
        let mut bytes = frame(0x01, PING);
        bytes.extend(frame(0x00, b"").repeat(empty));
        bytes.extend(frame(0x80, b""));
        bytes.extend(NORMAL);
        bytes
    };
    let all = answer(&pieces(62)).await;
    assert!(pongs(&all) == 1 && closes_with(&all, 1000), "64 frames are one message");
    let all = answer(&pieces(63)).await;
    assert!(pongs(&all) == 0 && closes_with(&all, 1009));
}

#[tokio::test]
async fn bytes_have_a_rate_of_their_own() {
    // Sixteen messages, so the rate of those is not it.
    let padded = format!(r#"{{"type":"ping","pad":"{}"}}"#, "x".repeat(65_000));
    let mut few = frame(0x81, padded.as_bytes()).repeat(3);
    few.extend(NORMAL);
    let all = answer(&few).await;
    assert!(pongs(&all) == 3 && closes_with(&all, 1000));
    let all = answer(&frame(0x81, padded.as_bytes()).repeat(16)).await;
    assert!(pongs(&all) < 16 && closes_with(&all, 4129));
}
