//! Tests of [`Wire`]: how a connection ends.

use tokio::io::DuplexStream;

use super::*;
use crate::protocol::codec;

/// A wire whose socket is full, since it holds 64 bytes and the peer has read none of what was pushed.
async fn full() -> (Wire<DuplexStream>, DuplexStream) {
    let (io, peer) = tokio::io::duplex(64);
    let mut wire = Wire::new(io, &Limits::default(), Arc::new(Metrics::new()));
    wire.push_frame(long());
    assert!(matches!(futures_util::poll!(std::pin::pin!(wire.step())), Poll::Pending));
    (wire, peer)
}

/// Some 200 bytes.
fn long() -> Bytes {
    codec::unsubscribed(&serde_json::from_str("1").unwrap(), &"a".repeat(200), None).into_bytes()
}

/// The kinds of a server's frames, and the code of each that closes.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Option<u16>)> {
    let mut frames = Vec::new();
    while let [kind, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            length => (usize::from(*length), rest),
        };
        let code = (*kind == CLOSE).then(|| u16::from_be_bytes([rest[0], rest[1]]));
        frames.push((*kind, code));
        bytes = rest.get(length..).expect("whole frames");
    }
    frames
}

/// Goes on to the end, with a peer that reads now; what came.
async fn rest(mut wire: Wire<DuplexStream>, mut peer: DuplexStream) -> Vec<(u8, Option<u16>)> {
    let mut all = Vec::new();
    let end = async {
        for turn in 0..100 {
            if matches!(wire.step().await, Step::Ended(_)) {
                break;
            }
            // As the connection's task does when all was taken.
            if wire.is_clear() && turn < 10 {
                wire.push_frame(long());
                wire.ping();
            }
        }
        drop(wire);
    };
    let (_, read) = tokio::join!(end, peer.read_to_end(&mut all));
    read.unwrap();
    frames(&all)
}

#[tokio::test]
async fn nothing_follows_the_answer_to_a_close() {
    let (mut wire, mut peer) = full().await;
    peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]).await.unwrap();
    assert!(matches!(wire.step().await, Step::Alive));
    assert_eq!(rest(wire, peer).await, [(0x81, None), (CLOSE, Some(1000))]);
}

#[tokio::test]
async fn who_sends_too_much_hears_why_behind_what_was_begun() {
    let (mut wire, mut peer) = full().await;
    let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(100);
    let (sending, cut) = tokio::join!(peer.write_all(&pings), async {
        loop {
            if let Step::Broken(close) = wire.step().await {
                wire.close(&close);
                // More of it comes meanwhile, and is of no interest.
                let mut rest = [0; 1024];
                while let Ok(read) = tokio::time::timeout(Duration::ZERO, wire.io.read(&mut rest)).await {
                    read.unwrap();
                }
                return close;
            }
        }
    });
    sending.unwrap();
    assert_eq!(cut.code, 4129);
    let frames = rest(wire, peer).await;
    assert_eq!((frames.first(), frames.last()), (Some(&(0x81, None)), Some(&(CLOSE, Some(4129)))));
    assert!(frames[1..frames.len() - 1].iter().all(|(kind, _)| *kind == 0x8A), "pongs between: {frames:?}");
}
