//! Tests of [`Replay`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::AtomicBool;
use std::task::{Wake, Waker};

use http::Version;
use proptest::prelude::*;

use super::*;

/// Pieces, trailers perhaps, and an end that is only seen when it is asked for.
struct Pieces(VecDeque<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn source(pieces: &[Vec<u8>], trailers: bool) -> Source {
    let mut frames: VecDeque<_> =
        pieces.iter().map(|piece| Frame::data(Bytes::copy_from_slice(piece))).collect();
    if trailers {
        frames.push_back(Frame::trailers(fields()));
    }
    Source::new(Pieces(frames), Version::HTTP_11).unwrap()
}

fn fields() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("a"))])
}

fn next(reading: &mut Reading) -> Option<Result<Frame<Bytes>, BoxError>> {
    match Pin::new(reading).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame,
        Poll::Pending => panic!("nothing here has to be waited for"),
    }
}

fn rest(reading: &mut Reading) -> Result<(Vec<u8>, Option<HeaderMap>), BoxError> {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = next(reading) {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((bytes, trailers))
}

proptest! {
    /// Whatever was read before: the next try has all of it, if it was not too much, and the room is given back.
    #[test]
    fn the_next_try_has_all_of_it(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
        stops in prop::collection::vec(0..12_usize, 0..4),
        trailers in any::<bool>(),
        (max, room) in (0..80_usize, 0..80_usize),
    ) {
        let whole = pieces.concat();
        let room_left = Room::new(room);
        let (replay, mut reading) = Replay::new(source(&pieces, trailers), max, &room_left);
        let mut passed = 0;
        for stop in stops {
            let mut own = 0;
            for _ in 0..stop {
                let Some(frame) = next(&mut reading) else { break };
                own += frame.unwrap().into_data().map_or(0, |data| data.len());
            }
            passed = passed.max(own);
            prop_assert!(room_left.left.load(Ordering::Relaxed) <= room);
            let fits = passed <= max.min(room);
            prop_assert_eq!(replay.is_whole(), fits);
            let Some(again) = replay.again() else {
                prop_assert!(!fits);
                break;
            };
            prop_assert!(next(&mut reading).is_none_or(|frame| frame.is_err()) || reading.ended);
            reading = again;
            prop_assert!(reading.size_hint().lower() >= passed as u64);
        }
        drop(replay);
        let (bytes, fields) = rest(&mut reading).unwrap();
        if reading.number > 0 || passed == 0 {
            prop_assert!(whole.ends_with(&bytes));
        }
        if reading.number > 0 && passed <= max.min(room) {
            prop_assert_eq!(fields.is_some(), trailers);
        }
        prop_assert!(next(&mut reading).is_none(), "an end stays one");
        drop(reading);
        prop_assert_eq!(room_left.left.load(Ordering::Relaxed), room);
    }
}

#[test]
fn a_body_comes_twice_with_its_trailers() {
    let room = Room::new(100);
    let pieces = [b"one".to_vec(), b"two".to_vec()];
    let (replay, mut first) = Replay::new(source(&pieces, true), 6, &room);
    assert_eq!(rest(&mut first).unwrap(), (b"onetwo".to_vec(), Some(fields())));
    let mut second = replay.again().unwrap();
    assert!(!second.is_end_stream());
    assert_eq!(rest(&mut second).unwrap(), (b"onetwo".to_vec(), Some(fields())));
    assert!(second.is_end_stream());
    assert_eq!(room.left.load(Ordering::Relaxed), 94);
    // In the middle of one try another one starts, and has what was never read too.
    let (replay, mut first) = Replay::new(source(&pieces, false), 6, &room);
    assert_eq!(next(&mut first).unwrap().unwrap().into_data().unwrap(), "one");
    let mut second = replay.again().unwrap();
    assert!(next(&mut first).unwrap().is_err(), "only one reads");
    assert_eq!(rest(&mut second).unwrap().0, b"onetwo");
}

#[test]
fn one_byte_too_many_passes_and_is_not_kept() {
    let room = Room::new(100);
    let (replay, mut first) = Replay::new(source(&[b"one".to_vec(), b"two".to_vec()], false), 5, &room);
    assert_eq!(rest(&mut first).unwrap().0, b"onetwo");
    assert!(!replay.is_whole());
    assert!(replay.again().is_none());
    assert_eq!(room.left.load(Ordering::Relaxed), 100);
}

#[test]
fn what_is_settled_keeps_nothing_and_loses_nothing() {
    let room = Room::new(100);
    let pieces = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
    let (replay, mut first) = Replay::new(source(&pieces, false), 50, &room);
    next(&mut first);
    next(&mut first);
    let mut second = replay.again().unwrap();
    drop(replay);
    assert_eq!(room.left.load(Ordering::Relaxed), 94, "the second try has not read it");
    assert_eq!(rest(&mut second).unwrap().0, b"onetwothree");
    assert_eq!(room.left.load(Ordering::Relaxed), 100);
}

#[test]
fn a_body_that_breaks_is_broken_for_all() {
    struct Broken;
    impl Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
        }
    }
    let (replay, mut first) =
        Replay::new(Source::new(Broken, Version::HTTP_11).unwrap(), 50, &Room::new(100));
    assert!(next(&mut first).unwrap().is_err());
    assert!(replay.again().is_none());
}

#[test]
fn the_newest_try_is_the_one_that_is_woken() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    struct Channel(tokio::sync::mpsc::Receiver<Bytes>);
    impl Body for Channel {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }
    let (replay, mut first) =
        Replay::new(Source::new(Channel(receiver), Version::HTTP_11).unwrap(), 50, &Room::new(100));
    let flags = [Arc::new(Flag::default()), Arc::new(Flag::default())];
    let wakers = flags.clone().map(Waker::from);
    let [first_waker, second_waker] = &wakers;
    assert!(Pin::new(&mut first).poll_frame(&mut Context::from_waker(first_waker)).is_pending());
    let mut second = replay.again().unwrap();
    assert!(Pin::new(&mut second).poll_frame(&mut Context::from_waker(second_waker)).is_pending());
    sender.try_send(Bytes::from_static(b"late")).unwrap();
    assert!(flags[1].0.load(Ordering::Relaxed));
    assert_eq!(next(&mut second).unwrap().unwrap().into_data().unwrap(), "late");
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
