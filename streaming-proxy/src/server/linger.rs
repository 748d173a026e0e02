//! A connection that reads on for a while after its last answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::body::idle::Idle;

/// Closes `T` in two steps: first the writing half, and the rest when the client has ended too.
///
/// A socket that is closed with unread bytes in it, or gets some after, answers with a reset, and a reset takes along
/// what the client has not read yet: an early 413 would be a broken connection to every client that reads when it has
/// written all. So what comes is read and dropped, for as long as the client goes on, within bounds.
#[derive(Debug)]
pub(crate) struct Linger<T> {
    inner: T,
    limit: Duration,
    /// Whether the last request came with a body, of which something may still come.
    expects: Arc<AtomicBool>,
    closing: Option<Closing>,
}

#[derive(Debug)]
struct Closing {
    until: Instant,
    silence: Idle,
    /// Whether to wait for what is not there yet.
    waits: bool,
}

/// How long nothing may come before the connection is closed.
///
/// Two seconds survive one lost packet, and are what a drain waits at most for clients that keep their end open.
const SILENCE: Duration = Duration::from_secs(2);

/// How much is read at once, to be dropped.
const PIECE: usize = 8 * 1024;

// === impl Linger ===

impl<T> Linger<T> {
    /// `expects` is set for each request by the one who sees its body.
    pub(crate) fn new(inner: T, limit: Duration, expects: Arc<AtomicBool>) -> Self {
        Self { inner, limit, expects, closing: None }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Linger<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closing = match &mut this.closing {
            Some(closing) => closing,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                this.closing.insert(Closing {
                    until: Instant::now() + this.limit,
                    silence: Idle::new(SILENCE.min(this.limit)),
                    waits: this.expects.load(Ordering::Relaxed),
                })
            }
        };
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
