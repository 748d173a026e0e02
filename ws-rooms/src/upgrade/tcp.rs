//! The socket that the HTTP server below hands over.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP socket of which the server has read more than the request.
pub(super) struct Tcp {
    /// What it has read, until that is read here.
    before: Bytes,
    io: TcpStream,
}

// === impl Tcp ===

impl Tcp {
    /// The socket as it is, without the box that hyper has it in; or what hyper has, if it is something else.
    pub(super) fn unbox(upgraded: Upgraded) -> Result<Self, Upgraded> {
        let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<TcpStream>>()?;
        // Copied: even an empty rest keeps the server's buffer, for as long as the connection lives.
        Ok(Self { before: Bytes::copy_from_slice(&read_buf), io: io.into_inner() })
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let bytes = self.before.len().min(buffer.remaining());
        buffer.put_slice(&self.before[..bytes]);
        self.before.advance(bytes);
        if self.before.is_empty() {
            // Its memory is not kept either.
            self.before = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
