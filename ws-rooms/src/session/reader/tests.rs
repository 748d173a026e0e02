//! Tests of [`Reader`]: what it keeps, and what cuts mean.

use std::future::poll_fn;

use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::*;

/// A masked frame with a payload of these bytes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => bytes.push(0x80 | u8::try_from(length).unwrap()),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A reader, its socket, and the other end.
struct Bed {
    reader: Reader,
    io: DuplexStream,
    peer: DuplexStream,
}

// === impl Bed ===

impl Bed {
    fn new(limits: &Limits) -> Self {
        let (io, peer) = tokio::io::duplex(1024 * 1024);
        Self { reader: Reader::new(limits), io, peer }
    }

    /// What is heard of these bytes, and all that can be: in short, with what is answered to it.
    async fn hear(&mut self, bytes: &[u8]) -> Vec<String> {
        self.peer.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        while let Poll::Ready(heard) = poll_fn(|cx| Poll::Ready(self.reader.poll(&mut self.io, cx))).await {
            let (text, last) = match heard {
                Heard::Part => continue,
                Heard::Message(message) => (message.to_string(), message.is_close()),
                Heard::Broken(close) => (close.code.to_string(), true),
                Heard::Gone => ("gone".to_owned(), true),
            };
            all.push(text);
            all.extend(self.reader.take_reply().map(|reply| format!("{reply:x?}")));
            if last {
                break;
            }
        }
        all
    }
}

#[tokio::test]
async fn between_messages_there_is_nothing() {
    let limits = Limits { bytes_per_second: u32::MAX, ..Limits::default() };
    let mut bed = Bed::new(&limits);
    assert!(bed.reader.context.is_none());
    let large = "x".repeat(65_536);
    for (bytes, between) in [
        (frame(0x81, b"a message"), true),
        (frame(0x81, large.as_bytes()), true),
        (frame(0x81, &large.as_bytes()[1..])[..40_000].to_vec(), false),
        (frame(0x81, &large.as_bytes()[1..])[40_000..].to_vec(), true),
        (frame(0x01, b"a"), false),
        (frame(0x89, b"a ping within"), false),
        (frame(0x80, b"b"), true),
        ([frame(0x81, b"one"), frame(0x81, b"two"), frame(0x89, b"")].concat(), true),
        (vec![0x81], false),
        (vec![0x80], false),
        (vec![0; 4], true),
    ] {
        bed.hear(&bytes).await;
        assert_eq!(bed.reader.context.is_none(), between, "{:x?}", &bytes[..bytes.len().min(20)]);
        assert!(bed.reader.rest.is_empty() && bed.reader.reply.capacity() == 0);
    }
}

#[tokio::test]
async fn our_close_is_not_forgotten() {
    let mut bed = Bed::new(&Limits::default());
    let close = || CloseFrame { code: 4200.into(), reason: "".into() };
    bed.reader.close(close());
    assert_eq!(bed.reader.take_reply().unwrap(), [0x88, 2, 0x10, 0x68][..]);
    // What was on its way is still told; the answer to our close is not answered, and ends it.
    assert_eq!(bed.hear(&frame(0x81, b"late")).await, ["late"]);
    assert_eq!(bed.hear(&frame(0x89, b"")).await, [""], "a ping behind it has no answer");
    bed.reader.close(close());
    assert!(bed.reader.take_reply().is_none(), "one is enough");
    assert_eq!(bed.hear(&frame(0x88, &[0x10, 0x68])).await.len(), 1);
}

/// However low the rate: what one message may be is not too much at once.
#[tokio::test(start_paused = true)]
async fn the_largest_message_is_no_burst() {
    let limits = Limits { bytes_per_second: 1_000, ..Limits::default() };
    let text = "x".repeat(limits.frame_bytes);
    let mut bed = Bed::new(&limits);
    assert_eq!(bed.hear(&frame(0x81, text.as_bytes())).await, [text.as_str()]);
    assert_eq!(bed.hear(&frame(0x81, text.as_bytes())).await, ["4129"], "another one is");

    // Nor in as many frames as it may come in.
    let mut bed = Bed::new(&limits);
    let pieces = text.as_bytes().chunks(limits.frame_bytes / 64);
    let mut frames: Vec<Vec<u8>> = pieces.map(|piece| frame(0x00, piece)).collect();
    assert_eq!(frames.len(), 64);
    frames[0][0] = 0x01;
    frames[63][0] = 0x80;
    assert_eq!(bed.hear(&frames.concat()).await, [text.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_it_was_too_much_is_heard() {
    let limits = Limits { control_frames_per_second: 2, fragments: 2, ..Limits::default() };
    let ping = frame(0x8A, b"");
    let many = [frame(0x81, b"first"), ping.clone(), ping.clone(), ping, frame(0x81, b"last")].concat();
    assert_eq!(Bed::new(&limits).hear(&many).await, ["first", "", "", "4129"]);
    let pieces = [frame(0x81, b"first"), frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")].concat();
    assert_eq!(Bed::new(&limits).hear(&pieces).await, ["first", "1009"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_mean_nothing(
        kinds in proptest::collection::vec((0_usize..8, 0_usize..200), 1..12),
        cuts in proptest::collection::vec(1_usize..40, 1..50),
    ) {
        let firsts = [0x81, 0x82, 0x01, 0x80, 0x00, 0x89, 0x8A, 0x88];
        let bytes: Vec<u8> = kinds.iter().flat_map(|(kind, length)| frame(firsts[*kind], &b"\xC3\xA9".repeat(*length))).collect();
        let limits = Limits { frame_bytes: 300, fragments: 3, ..Limits::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (whole, cut) = runtime.block_on(async {
            let whole = Bed::new(&limits).hear(&bytes).await;
            let (mut bed, mut all, mut rest) = (Bed::new(&limits), Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                all.extend(bed.hear(head).await);
                let over = all.len() >= whole.len();
                rest = tail;
                if rest.is_empty() || over {
                    break;
                }
            }
            (whole, all)
        });
        prop_assert_eq!(whole, cut);
    }
}
