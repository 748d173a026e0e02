//! Clients whose messages take their time.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tramline_ws_rooms::{Credential, Rooms};

use crate::support::{config, node, node_with, peer};

/// A connection as bytes, whose client reads all the time and says nothing by itself, pongs included.
struct Raw {
    client: tokio::io::WriteHalf<DuplexStream>,
    heard: JoinHandle<Vec<u8>>,
    server: JoinHandle<u16>,
}

// === impl Raw ===

impl Raw {
    async fn connect(rooms: &Rooms) -> Self {
        let admission = rooms.admit(Credential::Bearer("ada/customer/s1/3600".into()), peer()).await.unwrap();
        let (near, far) = tokio::io::duplex(1024);
        let rooms = rooms.clone();
        let server = tokio::spawn(async move { rooms.serve(admission, far).await });
        let (mut reads, client) = tokio::io::split(near);
        let heard = tokio::spawn(async move {
            let mut all = Vec::new();
            let _ = reads.read_to_end(&mut all).await;
            all
        });
        Self { client, heard, server }
    }

    /// Says these bytes at once, so that the server reads them at once, and then a pong every two seconds for as long as
    /// it listens.
    async fn begin(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
        for _ in 0..60 {
            sleep(Duration::from_secs(2)).await;
            let pong = self.client.write_all(&[0x8A, 0x80, 0, 0, 0, 0]).await;
            if self.server.is_finished() || pong.is_err() {
                return;
            }
        }
    }

    /// Says these bytes one by one, with a pause before each, as far as the server takes them.
    async fn trickle(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            sleep(pause).await;
            if self.server.is_finished() || self.client.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    }
}

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// The largest frame at 5 KiB a second takes 13 s, and no pong can come before its end, though a ping has gone out.
#[tokio::test(start_paused = true)]
async fn who_is_within_a_large_frame_is_alive() {
    let rooms = node();
    let mut raw = Raw::connect(&rooms).await;
    let start = Instant::now();
    sleep(Duration::from_secs(29)).await;
    let request = json!({"type": "ping", "id": "slow", "more": "x".repeat(65_000)}).to_string();
    for piece in frame(0x81, request.as_bytes()).chunks(512) {
        sleep(Duration::from_millis(100)).await;
        raw.client.write_all(piece).await.unwrap();
    }
    assert!(start.elapsed() > Duration::from_secs(41), "past the pong's time");
    // Done, so that the answer can be looked for.
    raw.client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]).await.unwrap();
    assert_eq!(raw.server.await.unwrap(), 1000);
    let heard = raw.heard.await.unwrap();
    assert!(heard.windows(2).any(|bytes| bytes == [0x89, 0]), "there was a ping");
    assert!(String::from_utf8_lossy(&heard).contains(r#""type":"pong","id":"slow""#));
}

/// Each byte is a sign of life, and yet a message has to end: in one frame, in many, with pings between them, and if it
/// is a ping itself.
#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_end_is_cut_after_a_minute() {
    let fragments = [vec![0x01, 0x80, 0, 0, 0, 0], [0x00, 0x80, 0, 0, 0, 0].repeat(10)].concat();
    let with_pings = [vec![0x01, 0x80, 0, 0, 0, 0], [0x89, 0x80, 0, 0, 0, 0].repeat(10)].concat();
    let ping = [vec![0x89, 0x80 | 100, 0, 0, 0, 0], vec![0; 100]].concat();
    for bytes in [frame(0x81, &[b'x'; 100]), fragments, with_pings, ping] {
        let mut raw = Raw::connect(&node()).await;
        let start = Instant::now();
        raw.trickle(&bytes, Duration::from_secs(2)).await;
        let code = raw.server.await.unwrap();
        assert_eq!(code, 4108, "{:x?}", &bytes[..bytes.len().min(20)]);
        // The close frame waits for its echo, which cannot come.
        assert!((60..=70).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert!(String::from_utf8_lossy(&raw.heard.await.unwrap()).contains(r#""code":4108"#));
    }
}

/// The minute begins with the first byte, whatever has come before it, or behind it, in the same read.
#[tokio::test(start_paused = true)]
async fn a_message_that_begins_behind_another_is_cut_after_a_minute() {
    let ping: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];
    let part: &[u8] = &[0x01, 0x80, 0, 0, 0, 0];
    let text = [&[0x81, 0x82, 0, 0, 0, 0][..], b"{}"].concat();
    let large = [&[0x01, 0x80 | 126, 0x01, 0xF4, 0, 0, 0, 0][..], &[b'x'; 500]].concat();
    let fragmented = [part, &[0x80, 0x80, 0, 0, 0, 0]].concat();
    let rows: [(&str, &[&[u8]]); 6] = [
        ("behind a ping", &[ping, part]),
        ("behind pings", &[ping, ping, ping, &large]),
        ("behind a text", &[&text, part]),
        ("behind fragments", &[&fragmented, part]),
        ("before a ping", &[part, ping]),
        ("and more behind it", &[&text, part, ping]),
    ];
    for (name, pieces) in rows {
        let mut raw = Raw::connect(&node()).await;
        let start = Instant::now();
        raw.begin(&pieces.concat()).await;
        assert!(raw.server.is_finished(), "{name}: it may go on for ever");
        assert_eq!(raw.server.await.unwrap(), 4108, "{name}");
        // The close frame waits for its echo, which cannot come.
        assert!((60..=74).contains(&start.elapsed().as_secs()), "{name}: {:?}", start.elapsed());
    }
}

/// Nor does the minute go on behind a message that has ended, or is it shared by those that follow each other.
#[tokio::test(start_paused = true)]
async fn messages_that_end_may_go_on() {
    let mut config = config();
    config.heartbeat.message_within = Duration::from_secs(20);
    let rooms = node_with(config);
    let mut raw = Raw::connect(&rooms).await;
    let ping = [&[0x89, 0x80, 0, 0, 0, 0][..]; 8].concat();
    let text = [&[0x81, 0x82, 0, 0, 0, 0][..], b"{}"].concat();
    let fragmented = [vec![0x01, 0x80, 0, 0, 0, 0], vec![0x80, 0x80, 0, 0, 0, 0]].concat();
    let start = Instant::now();
    for bytes in [ping, text.repeat(4), fragmented, text] {
        raw.trickle(&bytes, Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(80));
    sleep(Duration::from_secs(25)).await;
    assert!(!raw.server.is_finished());
}
