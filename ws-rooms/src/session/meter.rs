//! A stream that knows how much it has taken, and how much its peer may send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::Limits;
use crate::protocol::Close;
use crate::session::cursor::Cursor;
use crate::session::pace::Pace;

/// Counts the bytes that the stream within has taken: a flush that is not done may have done something. And counts what
/// comes before anybody has it in memory as a message: bytes, control frames, fragments.
pub(super) struct Meter<S> {
    inner: S,
    taken: u64,
    cursor: Cursor,
    bytes: Pace,
    control: Pace,
    fragments: u32,
    /// The limit that the peer has gone beyond.
    excess: Option<Close>,
}

/// Seconds of bytes that may come at once. Four are, by default, four of the largest frames.
const BURST: u32 = 4;

// === impl Meter ===

impl<S> Meter<S> {
    pub(super) fn new(inner: S, limits: &Limits) -> Self {
        Self {
            inner,
            taken: 0,
            cursor: Cursor::default(),
            bytes: Pace::new(limits.bytes_per_second, BURST),
            control: Pace::new(limits.control_frames_per_second, 1),
            fragments: limits.fragments,
            excess: None,
        }
    }

    /// Why no more is read of this peer.
    pub(super) fn excess(&self) -> Option<&Close> {
        self.excess.as_ref()
    }

    /// Bytes taken since the start.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.taken += bytes as u64;
        }
        written
    }

    fn came(&mut self, bytes: &[u8]) {
        let seen = self.cursor.feed(bytes);
        #[allow(clippy::cast_precision_loss, reason = "the size of a read buffer")]
        let within = self.bytes.allows(bytes.len() as f64)
            && (seen.control == 0 || self.control.allows(f64::from(seen.control)));
        if !within {
            self.excess = Some(Close::TOO_MANY_MESSAGES);
        } else if seen.fragments > self.fragments {
            self.excess = Some(Close::TOO_BIG);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if read.is_ready() && self.excess.is_none() {
            self.came(&buf.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
