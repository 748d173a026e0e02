//! What is being written: frames that are shared with other connections, in as few writes as the socket allows.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::session::line::Line;

/// Frames in one vectored write; systems take 1,024 at least, and this many fit the stack.
const SLICES: usize = 64;
/// Frames that are together no larger are copied into one buffer: for a system call this is as good, and a stream that
/// encrypts makes one record of them.
const COPIED: usize = 4 * 1024;
/// Bytes that are handed over before a flush, one record of TLS. A stream that encrypts takes more than the socket does, and what
/// it holds tells nothing of a peer that reads, until it is flushed.
const UNFLUSHED: usize = 16 * 1024;
/// A whole pong (RFC 6455, section 5.5.3).
const PONG: u8 = 0x8A;

/// Frames on their way into a socket.
pub(super) struct Writer {
    queue: Line<Frame>,
    /// Bytes of the first frame that have left: nothing may come before the rest of it.
    part: usize,
    /// Bytes that the socket has taken since the start.
    taken: u64,
    /// Bytes of these that were not flushed; so many as need a flush while one is under way.
    unflushed: usize,
    /// When it took some the last time.
    left_at: Option<Instant>,
    metrics: Arc<Metrics>,
}

struct Frame {
    bytes: Bytes,
    /// When its event was published.
    at: Option<Instant>,
    /// Goes before frames that have not begun.
    urgent: bool,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { queue: Line::Empty, part: 0, taken: 0, unflushed: 0, left_at: None, metrics }
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn left_at(&self) -> Option<Instant> {
        self.left_at
    }

    /// Adds a frame behind all others; with the moment of its publication, it counts as a delivery once it has left.
    pub(super) fn push(&mut self, bytes: Bytes, at: Option<Instant>) {
        self.queue.push_back(Frame { bytes, at, urgent: false });
    }

    /// Adds a ping or a pong before all frames that have not begun. Of pongs the newest is enough, section 5.5.3.
    pub(super) fn push_urgent(&mut self, bytes: Bytes) {
        let begun = usize::from(self.part > 0);
        let queue = self.queue.many();
        let waiting = queue.iter_mut().skip(begun).take_while(|frame| frame.urgent);
        let pong = bytes.first() == Some(&PONG);
        let mut index = begun;
        for frame in waiting {
            if pong && frame.bytes.first() == Some(&PONG) {
                frame.bytes = bytes;
                return;
            }
            index += 1;
        }
        queue.insert(index, Frame { bytes, at: None, urgent: true });
    }

    /// Writes until the socket has taken everything.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what has left of a frame is remembered.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            if self.unflushed >= UNFLUSHED {
                ready!(self.poll_flush(Pin::new(io), cx))?;
            }
            let bytes = ready!(self.poll_some(Pin::new(io), cx))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed += bytes;
            self.left(bytes);
        }
        self.poll_flush(Pin::new(io), cx)
    }

    /// Nothing more is handed over before it has ended.
    fn poll_flush<S: AsyncWrite>(&mut self, io: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = io.poll_flush(cx);
        self.unflushed = if flushed.is_pending() { UNFLUSHED } else { 0 };
        flushed
    }

    fn poll_some<S: AsyncWrite>(&self, io: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut rest = self.rest();
        let first = rest.next().unwrap_or_default();
        let together = rest.take(SLICES - 1).try_fold(first.len(), |sum, frame| {
            let sum = sum + frame.len();
            (sum <= COPIED).then_some(sum)
        });
        let vectored = io.is_write_vectored();
        let mut left = UNFLUSHED - self.unflushed;
        if self.queue.len() == 1 || first.len() >= COPIED && !vectored {
            return io.poll_write(cx, &first[..first.len().min(left)]);
        }
        if together.is_none() && vectored {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(self.rest()) {
                *slice = IoSlice::new(&frame[..frame.len().min(left)]);
                left -= slice.len();
                count += 1;
                if left == 0 {
                    break;
                }
            }
            return io.poll_write_vectored(cx, &slices[..count]);
        }
        let mut buffer = [0; COPIED];
        let mut filled = 0;
        for frame in self.rest().take(SLICES) {
            let bytes = frame.len().min(COPIED - filled);
            buffer[filled..filled + bytes].copy_from_slice(&frame[..bytes]);
            filled += bytes;
            if filled == COPIED {
                break;
            }
        }
        io.poll_write(cx, &buffer[..filled.min(left)])
    }

    /// What has not left, frame by frame.
    fn rest(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(self.part).chain(std::iter::repeat(0));
        self.queue.iter().zip(starts).map(|(frame, start)| &frame.bytes[start..])
    }

    fn left(&mut self, bytes: usize) {
        let now = Instant::now();
        self.left_at = Some(now);
        self.taken += bytes as u64;
        self.part += bytes;
        let (mut delivered, mut oldest) = (0, None::<Instant>);
        while let Some(frame) = self.queue.front()
            && self.part >= frame.bytes.len()
        {
            self.part -= frame.bytes.len();
            if let Some(at) = frame.at {
                delivered += 1;
                oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
            }
            self.queue.pop_front();
        }
        if let Some(at) = oldest {
            self.metrics.deliver(delivered);
            self.metrics.lag.record(now.duration_since(at).as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests;
