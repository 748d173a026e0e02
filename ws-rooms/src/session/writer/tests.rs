//! Tests of [`Writer`] on sockets that take what they like.

use std::task::Waker;

use proptest::prelude::*;

use super::*;
use crate::protocol::codec::Text;

/// Takes so many bytes at each call, in turn; none is «full».
struct Greedy {
    takes: Vec<usize>,
    turn: usize,
    vectored: bool,
    took: Vec<u8>,
    calls: usize,
}

impl Greedy {
    fn new(takes: Vec<usize>, vectored: bool) -> Self {
        Self { takes, turn: 0, vectored, took: Vec::new(), calls: 0 }
    }
}

impl AsyncWrite for Greedy {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let takes = self.takes[self.turn % self.takes.len()].min(bytes.len());
        self.turn += 1;
        if takes == 0 {
            return Poll::Pending;
        }
        self.calls += 1;
        self.took.extend_from_slice(&bytes[..takes]);
        Poll::Ready(Ok(takes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // No more than it takes, so that a case is not all copies.
        let takes = self.takes[self.turn % self.takes.len()].max(1);
        let together: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(takes).collect();
        self.poll_write(cx, &together)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn text(number: usize, bytes: usize) -> Bytes {
    let text = format!("{number}:{}", "x".repeat(bytes));
    Text::from(text).into_bytes()
}

/// The opcodes and payloads in what a socket took.
fn frames(mut bytes: &[u8]) -> Vec<(u8, String)> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match *length {
            126 => (usize::from(u16::from_be_bytes(rest[..2].try_into().unwrap())), &rest[2..]),
            127 => (usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(), &rest[8..]),
            length => (usize::from(length), rest),
        };
        frames.push((*first, String::from_utf8(rest[..length].to_vec()).unwrap()));
        bytes = &rest[length..];
    }
    frames
}

fn writer() -> Writer {
    Writer::new(Arc::new(Metrics::new()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the socket takes, frames leave whole and in order, pings and pongs between them.
    #[test]
    fn frames_stay_whole(
        sizes in proptest::collection::vec(
            prop_oneof![20 => 0_usize..200, 4 => 3_000_usize..5_000, 1 => 65_530_usize..65_540],
            1..100,
        ),
        takes in proptest::collection::vec(
            prop_oneof![Just(0_usize), 1_usize..10, 1_000_usize..9_000, Just(1 << 20)],
            1..20,
        ),
        vectored in any::<bool>(),
        urgent_every in 1_usize..20,
    ) {
        let mut takes = takes;
        takes.push(10_000);
        let (mut writer, mut socket) = (writer(), Greedy::new(takes, vectored));
        let cx = &mut Context::from_waker(Waker::noop());
        let mut pings = 0;
        for (number, size) in sizes.iter().enumerate() {
            writer.push(text(number, *size), None);
            if number % urgent_every == 0 {
                pings += 1;
                writer.push_urgent(Bytes::from_static(&[0x89, 0]));
                let _ = writer.poll(&mut socket, cx);
            }
        }
        for _ in 0..2_000_000 {
            if writer.poll(&mut socket, cx).is_ready() {
                break;
            }
        }
        prop_assert!(writer.queue.is_empty() && writer.part == 0);
        prop_assert_eq!(writer.taken(), socket.took.len() as u64);
        let frames = frames(&socket.took);
        prop_assert_eq!(frames.iter().filter(|(first, _)| *first == 0x89).count(), pings);
        let texts: Vec<&String> = frames.iter().filter(|(first, _)| *first == 0x81).map(|(_, text)| text).collect();
        prop_assert_eq!(texts.len(), sizes.len());
        for (number, (text, size)) in texts.iter().zip(&sizes).enumerate() {
            prop_assert!(**text == format!("{number}:{}", "x".repeat(*size)), "frame {}", number);
        }
    }
}

#[test]
fn what_is_ready_leaves_in_one_write() {
    let cx = &mut Context::from_waker(Waker::noop());
    for (count, bytes, vectored) in [(8, 100, true), (8, 100, false), (8, 2_000, true), (60, 250, true)] {
        let (mut writer, mut socket) = (writer(), Greedy::new(vec![usize::MAX], vectored));
        (0..count).for_each(|number| writer.push(text(number, bytes), None));
        assert!(writer.poll(&mut socket, cx).is_ready());
        assert_eq!(socket.calls, 1, "{count} frames of {bytes} bytes");
        assert_eq!(frames(&socket.took).len(), count);
    }
}

/// Full in the middle of a frame: the rest of it leaves first, then the newest pong, then what waited before.
#[test]
fn a_pong_goes_before_what_has_not_begun() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut writer, mut socket) = (writer(), Greedy::new(vec![5, 0, usize::MAX], true));
    writer.push(text(0, 100), None);
    writer.push(text(1, 100), None);
    assert!(writer.poll(&mut socket, cx).is_pending());
    for payload in [b"1", b"2", b"3"] {
        writer.push_urgent([&[PONG, 1], &payload[..]].concat().into());
    }
    writer.push_urgent(Bytes::from_static(&[0x89, 0]));
    assert!(writer.poll(&mut socket, cx).is_ready());
    let kinds: Vec<(u8, String)> = frames(&socket.took)
        .into_iter()
        .map(|(first, text)| (first, text.chars().take(1).collect()))
        .collect();
    let expected = [(0x81, "0"), (PONG, "3"), (0x89, ""), (0x81, "1")];
    assert_eq!(kinds, expected.map(|(first, text)| (first, text.to_owned())));
}

#[test]
fn a_frame_counts_as_delivered_once_it_has_left() {
    let cx = &mut Context::from_waker(Waker::noop());
    let metrics = Arc::new(Metrics::new());
    let mut writer = Writer::new(Arc::clone(&metrics));
    let mut socket = Greedy::new(vec![150, 0, usize::MAX], true);
    (0..3).for_each(|number| writer.push(text(number, 100), Some(Instant::now())));
    writer.push(text(3, 100), None);
    assert!(writer.poll(&mut socket, cx).is_pending());
    assert_eq!(metrics.delivered_total(), 1);
    assert!(writer.poll(&mut socket, cx).is_ready());
    assert_eq!(metrics.delivered_total(), 3, "an answer is no delivery");
}
