//! A connection that reads on for a while after its last answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::body::idle::Idle;
use crate::server::drain::Drain;

/// Closes `T` in two steps: first the writing half, and the rest when the client has ended too.
///
/// A socket that is closed with unread bytes in it, or gets some after, answers with a reset, and a reset takes along
/// what the client has not read yet: an early 413 would be a broken connection to every client that reads when it has
/// written all. So what comes is read and dropped, for as long as the client goes on, within bounds.
#[derive(Debug)]
pub(crate) struct Linger<T> {
    inner: T,
    /// What somebody has read before, and is read again.
    before: Bytes,
    limit: Duration,
    rest: Rest,
    draining: Drain,
    closing: Option<Closing>,
}

/// What is known of a connection between the one who sees its messages and the one who sees its bytes: one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// What may still come after its last answer.
    comes: AtomicU8,
    /// Whether something was written since the last flush that came to its end.
    written: AtomicBool,
}

#[derive(Debug)]
struct Closing {
    until: Instant,
    silence: Idle,
    /// Whether to wait for what is not there yet.
    waits: bool,
    /// Whether the server's drain has cut `until`.
    hurries: bool,
}

/// How long nothing may come before the connection is closed, and how long it may go on once the server drains.
///
/// Two seconds survive one lost packet. A drain waits for nobody longer than that who has been answered.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// Nothing is known to come.
const NOTHING: u8 = 0;
/// The rest of a request's body.
const BODY: u8 = 1;
/// Another protocol's bytes, which are not ours to drop.
const TUNNEL: u8 = 2;

/// How much is read at once, to be dropped.
const PIECE: usize = 8 * 1024;

// === impl Linger ===

impl<T> Linger<T> {
    pub(crate) fn new(inner: T, limit: Duration, rest: Rest, draining: Drain) -> Self {
        Self { inner, before: Bytes::new(), limit, rest, draining, closing: None }
    }

    /// The same, whose first bytes have been read already.
    pub(crate) fn after(mut self, before: Bytes) -> Self {
        self.before = before;
        self
    }
}

// === impl Rest ===

impl Rest {
    /// A request has begun, with a body or without.
    pub(crate) fn request(&self, has_body: bool) {
        self.set(if has_body { BODY } else { NOTHING });
    }

    /// Its body is through too, and the next request has not begun.
    pub(crate) fn between(&self) {
        self.set(NOTHING);
    }

    /// The connection has become another protocol's: its two halves end by themselves.
    pub(crate) fn switched(&self) {
        self.set(TUNNEL);
    }

    /// Whether all that was written is on its way.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.0.written.load(Ordering::Relaxed)
    }

    fn set(&self, comes: u8) {
        self.0.comes.store(comes, Ordering::Release);
    }

    fn now(&self) -> u8 {
        self.0.comes.load(Ordering::Acquire)
    }

    fn written(&self, written: bool) {
        self.0.written.store(written, Ordering::Relaxed);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Linger<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let count = self.before.len().min(buf.remaining());
            buf.put_slice(&self.before.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.rest.written(true);
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.rest.written(true);
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS takes what it has not written yet, and a failed one is the connection's end.
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.rest.written(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = this.rest.now();
        if rest == TUNNEL {
            return Pin::new(&mut this.inner).poll_shutdown(cx);
        }
        let closing = match &mut this.closing {
            Some(closing) => closing,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                this.closing.insert(Closing {
                    until: Instant::now() + this.limit,
                    silence: Idle::new(SILENCE.min(this.limit)),
                    waits: rest == BODY,
                    hurries: false,
                })
            }
        };
        // Looked at with each piece that comes; a client that is silent is done with in that time anyway.
        if !closing.hurries && this.draining.has_begun() {
            closing.hurries = true;
            closing.until = closing.until.min(Instant::now() + SILENCE);
        }
        let mut piece = [0; PIECE];
        loop {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut this.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    if closing.until <= Instant::now() {
                        return Poll::Ready(Ok(()));
                    }
                    closing.waits = true;
                    closing.silence.touch();
                }
                // The client has ended, one way or the other.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending if closing.waits => return closing.silence.poll_over(cx).map(Ok),
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
