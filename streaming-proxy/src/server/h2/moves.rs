//! Whether anything moves on a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has moved on a connection. Clones are of the same one.
///
/// Counts that wrap around: only whether they change is of interest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moves(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// How often something came.
    heard: AtomicU32,
    /// How often something was taken by the system to be sent.
    said: AtomicU32,
    /// Whether the system takes no more at the moment.
    is_full: AtomicBool,
}

/// A connection whose moves are counted.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    inner: T,
    moves: Moves,
}

// === impl Moves ===

impl Moves {
    /// Returns when the other side is silent: it has not said anything since this was called, nothing more was to be
    /// written for `limit`, and `done` says that there is nothing left to do for it.
    ///
    /// One that takes nothing of what is written has a time limit of its own.
    ///
    /// Never, once it has said something: it is there, and others know what it is waited for.
    pub(crate) async fn silent(&self, limit: Duration, done: impl Fn() -> bool) {
        let heard = self.0.heard.load(Ordering::Relaxed);
        loop {
            let said = self.0.said.load(Ordering::Relaxed);
            tokio::time::sleep(limit).await;
            if self.0.heard.load(Ordering::Relaxed) != heard {
                return std::future::pending().await;
            }
            let is_full = self.0.is_full.load(Ordering::Relaxed);
            if !is_full && self.0.said.load(Ordering::Relaxed) == said && done() {
                return;
            }
        }
    }
}

// === impl Counted ===

impl<T> Counted<T> {
    pub(crate) fn new(inner: T, moves: Moves) -> Self {
        Self { inner, moves }
    }

    fn said(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.moves.0.is_full.store(written.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(1..)) = written {
            self.moves.0.said.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.moves.0.heard.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.said(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.said(written)
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

#[cfg(test)]
mod tests;
