//! Connections that lie idle, without what serves them.
//!
//! Between two messages a connection of HTTP/1.1 is its socket and nothing else, but hyper's half of it keeps two buffers
//! of 8 KiB, and the place of a request's future. So after a while of silence it is taken apart, and put together again
//! when its client speaks.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use metrics::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::server::drain::Drain;
use crate::server::linger::Rest;
use crate::server::timer::HeadTimer;

/// As much as is read at once of what ends the silence: a usual head.
const FIRST: usize = 2048;

/// Waits until hyper has waited for a head in silence, and holds nothing that the client has yet to get.
///
/// To be polled behind the connection, by its task: nothing changes but by a poll of that, so nobody is woken by this.
pub(super) async fn silence(timer: &HeadTimer, rest: &Rest) {
    poll_fn(|_| if timer.is_silent() && rest.is_flushed() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Keeps a connection until its client speaks, and returns what it says first. If it leaves, says nothing in its
/// time for a head, or the server drains, the connection is closed and nothing is returned.
///
/// # Cancel safety
///
/// Dropping it closes the connection.
pub(super) async fn park<T>(mut io: T, timer: &HeadTimer, draining: &Drain) -> Option<(T, Bytes)>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let _parked = Parked::new();
    let spoken = tokio::select! {
        // ORDER: what the client has said is answered, whatever else has come about.
        biased;
        spoken = poll_fn(|cx| poll_first(&mut io, cx)) => spoken.ok()?,
        () = draining.begun() => Bytes::new(),
        () = poll_fn(|cx| timer.poll_over(cx)) => Bytes::new(),
    };
    if spoken.is_empty() {
        // Whoever is gone does not hear it.
        let _ = io.shutdown().await;
        return None;
    }
    Some((io, spoken))
}

/// One connection that is taken apart, for the gauge.
struct Parked(Gauge);

// === impl Parked ===

impl Parked {
    fn new() -> Self {
        let parked = metrics::gauge!("streaming_proxy.server.parked");
        parked.increment(1.0);
        Self(parked)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Nothing is kept for it while nothing comes. Nothing at all is the client's end.
fn poll_first<T: AsyncRead + Unpin>(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    let mut first = [0; FIRST];
    let mut buf = ReadBuf::new(&mut first);
    ready!(Pin::new(io).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(Bytes::copy_from_slice(buf.filled())))
}

#[cfg(test)]
mod tests;
