//! Tests of [`sniff`].

use pieces::Pieces;
use proptest::prelude::*;

use super::*;

/// A stream that comes in pieces, however they are cut.
mod pieces {
    use std::collections::VecDeque;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, ReadBuf};

    pub(super) struct Pieces(pub(super) VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.0.pop_front() {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }
}

fn sniffed(bytes: &[u8], piece: usize) -> (Sniffed, Vec<u8>) {
    let mut stream = Pieces(bytes.chunks(piece).map(<[u8]>::to_vec).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sniffed = runtime.block_on(sniff(&mut stream)).unwrap();
    (sniffed, stream.0.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn nothing_is_lost_and_the_preface_is_found_however_it_is_cut(
        start in 0..=PREFACE.len(),
        rest in prop::collection::vec(any::<u8>(), 0..64),
        piece in 1..40_usize,
    ) {
        let bytes = [PREFACE.get(..start).unwrap(), &rest].concat();
        let (sniffed, left) = sniffed(&bytes, piece);
        prop_assert_eq!(sniffed.is_http2, bytes.starts_with(PREFACE));
        prop_assert!(sniffed.read.len() <= PREFACE.len());
        prop_assert_eq!([&sniffed.read, left.as_slice()].concat(), bytes);
    }
}

#[test]
fn http1_is_clear_after_its_first_byte_that_differs() {
    for (bytes, piece, read) in
        [("GET / HTTP/1.1\r\n", 1, "G"), ("PUT / HTTP/1.1\r\n", 1, "PU"), ("PRI", 3, "PRI"), ("", 1, "")]
    {
        let (sniffed, _) = sniffed(bytes.as_bytes(), piece);
        assert_eq!((sniffed.is_http2, &*sniffed.read), (false, read.as_bytes()), "{bytes}");
    }
}
