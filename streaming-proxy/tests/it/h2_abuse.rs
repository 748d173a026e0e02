//! Clients of HTTP/2 that mean harm, in frames that no library sends. What they ask for is bounded, what they hold is
//! given back, and others notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::h2_server::{front, h2c};
use crate::h2client::H2;
use crate::h2raw::{
    CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, GET, GOAWAY, HEADERS, RST_STREAM, Raw,
    WINDOW_UPDATE, block, frame, integer,
};
use crate::origin::{Front, real, soon};

/// An upstream that counts what it is asked for, and what it was asked for and is no longer.
async fn counting(answer: &'static [u8]) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let addr = real({
        let asked = asked.clone();
        move |_: Request<Incoming>| {
            asked.fetch_add(1, Ordering::SeqCst);
            async move { Response::new(Full::new(Bytes::from_static(answer))) }
        }
    })
    .await;
    (addr, asked)
}

/// Reads until the server ends the connection; the frame that said why.
async fn ended(raw: &mut Raw) -> Option<Frame> {
    let mut why = None;
    while let Some(frame) = raw.next().await {
        if frame.kind == GOAWAY {
            why = Some(frame);
        }
    }
    why
}

/// Sends all, or as much as the server takes before it closes.
async fn flood(raw: &mut Raw, bytes: &[u8]) {
    let _ = soon("the flood", raw.stream.write_all(bytes)).await;
}

async fn is_well(front: &Front) {
    let other = H2::connect(front.addr).await;
    assert_eq!(other.get("/").await.status, 200);
}

#[tokio::test]
async fn a_rapid_reset_ends_its_connection() {
    // CVE-2023-44487: requests that are taken back as they are made cost the server all, and the client nothing.
    let (upstream, asked) = counting(b"fine").await;
    let front = front(upstream, h2c()).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    let request = block(&GET);
    let cancel = 8_u32.to_be_bytes();
    let resets: Vec<u8> = (0..2000_u32)
        .map(|n| 2 * n + 1)
        .flat_map(|stream| {
            let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request);
            [head, frame(RST_STREAM, 0, stream, &cancel)].concat()
        })
        .collect();
    flood(&mut raw, &resets).await;
    let why = ended(&mut raw).await.expect("it says why");
    assert_eq!(why.code(), ENHANCE_YOUR_CALM);
    assert!(asked.load(Ordering::SeqCst) < 200, "{} requests went upstream", asked.load(Ordering::SeqCst));
    is_well(&front).await;
}

#[tokio::test]
async fn made_you_reset_ends_its_connection() {
    // CVE-2025-8671: a frame that is wrong for a stream makes the server reset it, so that the client takes its
    // requests back without a word that a count of its own resets would hear.
    let (upstream, asked) = counting(b"fine").await;
    let front = front(upstream, h2c()).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    let request = block(&GET);
    // A window of more than 2^31-1 (RFC 9113, 6.9.1).
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    let resets: Vec<u8> = (0..2000_u32)
        .map(|n| 2 * n + 1)
        .flat_map(|stream| {
            let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request);
            [head, frame(WINDOW_UPDATE, 0, stream, &overflow)].concat()
        })
        .collect();
    flood(&mut raw, &resets).await;
    let why = ended(&mut raw).await.expect("it says why");
    assert_eq!(why.code(), ENHANCE_YOUR_CALM);
    assert!(asked.load(Ordering::SeqCst) < 1000, "{} requests went upstream", asked.load(Ordering::SeqCst));
    is_well(&front).await;
}

#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection() {
    // CVE-2024-27316 and its kin: a head that never ends.
    let (upstream, asked) = counting(b"fine").await;
    let front = front(upstream, h2c()).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    raw.send(HEADERS, END_STREAM, 1, &block(&GET)).await;
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", "of it")]));
    flood(&mut raw, &more.repeat(20_000)).await;
    assert_eq!(ended(&mut raw).await.expect("it says why").code(), ENHANCE_YOUR_CALM);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    is_well(&front).await;
}

#[tokio::test]
async fn a_small_head_that_says_much_goes_nowhere() {
    // The bomb of HPACK: a field of 4,000 bytes is put into the table once, and then named by one byte, again and
    // again.
    let (upstream, asked) = counting(b"fine").await;
    let front = front(upstream, h2c()).await;
    let mut raw = Raw::client(front.addr, &[]).await;
    let value = "b".repeat(4000);
    // Literal with incremental indexing (RFC 7541, 6.2.1), which becomes the first of the dynamic table: 62.
    let plant = [vec![0x40, 1], b"x".to_vec(), integer(value.len(), 7, 0), value.into_bytes()].concat();
    for stream in [1_u32, 3, 5] {
        let mut head = block(&GET);
        if stream == 1 {
            head.extend_from_slice(&plant);
        }
        // 20,000 bytes for five.
        head.extend(vec![0x80 | 62; 5]);
        raw.send(HEADERS, END_HEADERS | END_STREAM, stream, &head).await;
        let answer = raw.of(stream).await.unwrap();
        assert_eq!(
            (answer.kind, answer.flags & END_STREAM),
            (HEADERS, END_STREAM),
            "431, which h2 answers itself"
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // The connection is as good as before: what it remembers of the table is right.
    raw.headers(7, END_STREAM, &GET).await;
    assert_eq!(raw.of(7).await.unwrap().kind, HEADERS);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // 40 MB for ten thousand: nobody does so by mistake.
    raw.send(HEADERS, END_HEADERS | END_STREAM, 9, &[block(&GET), vec![0x80 | 62; 10_000]].concat()).await;
    ended(&mut raw).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    is_well(&front).await;
}

#[tokio::test]
async fn a_window_of_one_byte_holds_nothing_for_long() {
    // Scenario: each answer is taken by hyper as a whole, since there is a byte of room, and waits in the connection
    // for the rest. Nobody polls it any more, so no timer of a stream sees it: the connection's own must.
    let (upstream, _) = counting(&[7; 10_000]).await;
    let mut config = h2c();
    config.header_read_timeout = Duration::from_secs(1);
    config.write_timeout = Duration::from_secs(1);
    let mut front = front(upstream, config).await;
    let mut raw = Raw::client(front.addr, &[(4, 1)]).await;
    for stream in [1, 3, 5] {
        raw.headers(stream, END_STREAM, &GET).await;
    }
    ended(&mut raw).await;
    is_well(&front).await;
    front.stop.take();
    soon("drained", &mut front.server).await.unwrap();
}

#[tokio::test]
async fn a_window_that_opens_a_byte_at_a_time_is_too_slow() {
    let gone = Arc::new(Notify::new());
    let upstream = real({
        let gone = gone.clone();
        move |request: Request<Incoming>| {
            let raise = crate::origin::Raise(gone.clone());
            async move {
                use http_body_util::BodyExt as _;
                let size = if request.uri().path() == "/" { 8 << 20 } else { 0 };
                Response::new(Full::new(Bytes::from(vec![7; size])).map_frame(move |frame| {
                    let _ = &raise;
                    frame
                }))
            }
        }
    })
    .await;
    let mut config = h2c();
    config.write_timeout = Duration::from_secs(1000);
    config.write_rate =
        Some(tramline_streaming_proxy::edge::MinRate::new(u32::MAX, Duration::from_millis(50)));
    let front = front(upstream, config).await;
    let mut raw = Raw::client(front.addr, &[(4, 0)]).await;
    raw.headers(1, END_STREAM, &GET).await;
    let mut answer = raw.of(1).await.unwrap();
    while answer.kind != RST_STREAM {
        raw.send(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()).await;
        answer = raw.of(1).await.unwrap();
    }
    soon("the upstream is free", gone.notified()).await;
}
