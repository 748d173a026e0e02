//! Doors for the fuzz targets, which see no more of the crate than its users do otherwise. Only there with
//! `--cfg fuzzing`, and no part of the interface.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http::HeaderMap;
use http::uri::Authority;
use tokio::io::{AsyncRead, ReadBuf};

use crate::edge::proxy_protocol::read::{self, Peek};
use crate::headers::forwarded;
use crate::headers::scan::Scan;
use crate::trust::{Peer, TrustedProxies};

/// Writes this hop's forwarding headers into a request's.
pub fn write_forwarded(
    headers: &mut HeaderMap,
    peer: &Peer,
    authority: Option<&Authority>,
    trusted: &TrustedProxies,
) {
    let scan = Scan::of(headers);
    forwarded::apply(headers, scan, Some(peer), authority, trusted);
}

/// Reads a header of the PROXY protocol from a stream that has `bytes`, at most `piece` at once, and then ends. The
/// client, and how many bytes are left.
///
/// # Errors
///
/// As on a connection.
pub fn proxy_header(bytes: &[u8], piece: usize) -> (io::Result<Option<SocketAddr>>, usize) {
    let mut pieces = Pieces { left: bytes, piece };
    // It never waits.
    let read = match pin!(read::header(&mut pieces)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    };
    (read, pieces.left.len())
}

struct Pieces<'a> {
    left: &'a [u8],
    piece: usize,
}

// === impl Pieces ===

impl Pieces<'_> {
    /// As much as fits.
    fn fill(&self, buf: &mut [u8]) -> usize {
        let count = self.left.len().min(self.piece).min(buf.len());
        buf[..count].copy_from_slice(&self.left[..count]);
        count
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.fill(buf.initialize_unfilled());
        buf.advance(count);
        self.left = &self.left[count..];
        Poll::Ready(Ok(()))
    }
}

impl Peek for Pieces<'_> {
    async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.fill(buf))
    }
}
