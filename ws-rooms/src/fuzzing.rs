//! A door for the fuzz target, which sees no more of the crate than its users do otherwise. Only there with
//! `--cfg fuzzing`, and no part of the interface.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::Message;

use crate::config::Limits;
use crate::session::{Heard, Reader};

/// What a peer said, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Said {
    /// Bytes.
    Binary(Vec<u8>),
    /// A close frame, with its code.
    Close(Option<u16>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A text.
    Text(String),
}

/// What a connection's reader made of some bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Read {
    /// The messages.
    pub said: Vec<Said>,
    /// Why no more was read, as a close code; none when the bytes ended, or with a close frame.
    pub broken: Option<u16>,
    /// What was answered, as bytes.
    pub replies: Vec<u8>,
}

/// Reads these bytes, of which `piece` come at once, with messages of at most `frame_bytes` in at most `fragments`.
#[must_use]
pub fn read(bytes: &[u8], piece: usize, frame_bytes: usize, fragments: u32) -> Read {
    let limits = Limits {
        bytes_per_second: u32::MAX,
        control_frames_per_second: u32::MAX,
        frame_bytes,
        fragments,
        ..Limits::default()
    };
    let (mut reader, mut pieces) = (Reader::new(&limits), Pieces { left: bytes, piece: piece.max(1) });
    let mut read = Read::default();
    // It never waits.
    while let Poll::Ready(heard) = reader.poll(&mut pieces, &mut Context::from_waker(Waker::noop())) {
        read.replies.extend(reader.take_reply().into_iter().flatten());
        match heard {
            Heard::Message(Message::Text(text)) => read.said.push(Said::Text(text.to_string())),
            Heard::Message(Message::Binary(bytes)) => read.said.push(Said::Binary(bytes.to_vec())),
            Heard::Message(Message::Ping(bytes)) => read.said.push(Said::Ping(bytes.to_vec())),
            Heard::Message(Message::Pong(bytes)) => read.said.push(Said::Pong(bytes.to_vec())),
            Heard::Message(Message::Close(frame)) => {
                read.said.push(Said::Close(frame.map(|frame| frame.code.into())));
                break;
            }
            Heard::Message(Message::Frame(_)) => unreachable!("nobody asked for frames"),
            Heard::Part => {}
            Heard::Broken(close) => {
                read.broken = Some(close.code);
                break;
            }
            Heard::Gone => break,
        }
    }
    read
}

struct Pieces<'a> {
    left: &'a [u8],
    piece: usize,
}

// === impl Pieces ===

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.left.len().min(self.piece).min(buf.remaining());
        let (now, later) = self.left.split_at(count);
        buf.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}
