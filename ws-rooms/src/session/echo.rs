//! The codec of a connection with nothing around it: each message comes back.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::config::Limits;
use crate::metrics::Metrics;
use crate::protocol::{Close, codec};
use crate::session::wire::{Step, Wire};

/// How long a peer may read nothing of what it gets back, as of a connection's frames.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long the closing handshake may take, as that of a connection.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// The first byte of a whole message in one frame (RFC 6455, section 5.2).
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// Sends each message back until the peer has enough, or `shutdown` completes; returns the close code.
///
/// A message is written before the next one is read, so that nothing is collected for a peer that only writes.
pub(crate) async fn echo<S, F>(io: S, limits: &Limits, shutdown: F) -> u16
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()>,
{
    let (mut wire, mut shutdown) = (Wire::new(io, limits, Arc::new(Metrics::new())), pin!(shutdown));
    let ended = tokio::select! {
        biased;
        () = &mut shutdown => Err(Close::new(1001, "going away")),
        ended = exchange(&mut wire) => ended,
    };
    match ended {
        Ok(None) => 1006,
        Ok(Some(code)) => {
            wire.linger().await;
            code
        }
        Err(close) => {
            let said = timeout(CLOSE_WITHIN, wire.say_closed(&close)).await.is_ok();
            if said && wire.may_miss(&close) {
                wire.linger().await;
            }
            close.code
        }
    }
}

/// The code that the peer ended it with, if it said one, or why we do.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) -> Result<Option<u16>, Close> {
    loop {
        let message = match wire.step().await {
            Step::Text(text) => Some((TEXT, Bytes::from(text))),
            Step::Binary(bytes) => Some((BINARY, bytes)),
            Step::Broken(close) => return Err(close),
            Step::Ended(code) => return Ok(code),
            // A pong, or the answer to a close, is to be written, too.
            Step::Alive | Step::Part | Step::Progress | Step::Flushed => None,
        };
        if let Some((first, payload)) = message {
            wire.push_frame(codec::frame(first, payload.len(), |frame| frame.extend_from_slice(&payload)));
        }
        while !wire.is_clear() {
            match timeout(WRITE_WITHIN, wire.written()).await {
                Ok(Step::Ended(code)) => return Ok(code),
                Ok(_) => {}
                Err(_) => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Whatever it is that they do not read: they write on, so no silence tells.
    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_does_not_stay() {
        // A text of one byte, and a ping of as many.
        for first in [TEXT, 0x89] {
            let (io, mut peer) = tokio::io::duplex(64);
            let limits = Limits { control_frames_per_second: u32::MAX, ..Limits::default() };
            let server = tokio::spawn(async move { echo(io, &limits, std::future::pending()).await });
            // Some twenty answers fit.
            for _ in 0..60 {
                // Waits when nobody reads, and fails when nobody is there.
                let _ = peer.write_all(&[first, 0x81, 0, 0, 0, 0, b'x']).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert!(server.is_finished(), "{first:x}");
            assert_eq!(server.await.unwrap(), 1006);
        }
    }

    /// Behind a close frame, or a broken one while we close ourselves: to hang up on it may be a reset.
    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_at_the_end_may_come() {
        const NORMAL: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];
        const MALFORMED: [u8; 6] = [0xF1, 0x80, 0, 0, 0, 0];
        for (sent, ends, code) in [(&NORMAL[..], false, 1000), (&MALFORMED[..], true, 1001)] {
            let (io, mut peer) = tokio::io::duplex(64);
            let shutdown = async move {
                if !ends {
                    std::future::pending::<()>().await;
                }
            };
            let server = tokio::spawn(async move { echo(io, &Limits::default(), shutdown).await });
            peer.write_all(&[sent, &[0; 256]].concat()).await.unwrap();
            let mut close = [0; 4];
            peer.read_exact(&mut close).await.unwrap();
            assert_eq!((close[0], &close[2..]), (0x88, &u16::to_be_bytes(code)[..]));
            drop(peer);
            assert_eq!(server.await.unwrap(), code);
        }
    }
}
