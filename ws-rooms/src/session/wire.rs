//! The socket: reads and writes at the same time on one task.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::config::Limits;
use crate::metrics::Metrics;
use crate::protocol::Close;
use crate::session::outbox::Queued;
use crate::session::reader::{Heard, Reader};
use crate::session::writer::Writer;

/// How much is still read of a peer that nobody listens to any more, so that the close frame is not lost to a reset.
const LINGER_BYTES: u64 = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// An empty ping, and the first byte of a close frame (RFC 6455, section 5.5).
const PING: &[u8] = &[0x89, 0];
const CLOSE: u8 = 0x88;

/// A WebSocket as a message pipe.
///
/// The rules of RFC 6455 for what comes, and the answers that they ask for, are tungstenite's ([`Reader`]); what we say is
/// written by [`Writer`], without a copy for each connection.
pub(crate) struct Wire<S> {
    io: S,
    reader: Reader,
    writer: Writer,
    /// Something was pushed that the socket has not taken.
    dirty: bool,
    /// The socket was full: from here on it takes more only when the peer has taken some.
    full: bool,
    /// The code of the peer's close frame.
    peer_code: Option<u16>,
    /// Nothing can be read any more; what was pushed may still leave.
    read_over: bool,
    /// The peer broke RFC 6455 or a limit: more of what it sends may be on its way.
    broken: bool,
    /// A close frame was pushed, and nothing may follow it (RFC 6455, section 5.5.1).
    closing: bool,
}

/// What happened on the socket.
pub(crate) enum Step {
    /// A text frame.
    Text(Utf8Bytes),
    /// A binary frame, which the protocol does not have.
    #[cfg_attr(not(feature = "test-support"), allow(dead_code, reason = "only an echo looks into it"))]
    Binary(Bytes),
    /// A ping, whose pong is on its way already, a pong, or the peer's close frame: a sign of life.
    Alive,
    /// Bytes of a message that is not whole: a sign of life, if a slow one.
    Part,
    /// A socket that was full has taken some more: the peer reads, if slowly.
    Progress,
    /// Everything pushed has been taken.
    Flushed,
    /// The peer broke RFC 6455 or a limit.
    Broken(Close),
    /// The connection is over; the code if the peer said one.
    Ended(Option<u16>),
}

// === impl Wire ===

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(io: S, limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            io,
            reader: Reader::new(limits),
            writer: Writer::new(metrics),
            dirty: false,
            full: false,
            peer_code: None,
            read_over: false,
            broken: false,
            closing: false,
        }
    }

    /// Whether the socket has taken everything, so that more may be pushed.
    pub(crate) fn is_clear(&self) -> bool {
        !self.dirty
    }

    /// Whether the peer may have more under way, and not have read this close frame yet: its own may have crossed ours. Who
    /// answers with our code has read it.
    pub(crate) fn may_miss(&self, close: &Close) -> bool {
        close.is_a_cut() || self.broken || self.peer_code.is_some_and(|code| code != close.code)
    }

    /// Whether a message has come in part.
    pub(crate) fn is_within_message(&self) -> bool {
        self.reader.is_within_message()
    }

    /// Pushes a frame. Once the connection closes there is nobody to have it.
    pub(crate) fn push(&mut self, queued: Queued) {
        if self.closing {
            return;
        }
        let at = queued.at();
        self.writer.push(queued.into_text().into_bytes(), at);
        self.dirty = true;
    }

    /// Pushes a frame that no queue has bounded: the last word.
    pub(crate) fn push_frame(&mut self, frame: Bytes) {
        if self.closing {
            return;
        }
        self.writer.push(frame, None);
        self.dirty = true;
    }

    pub(crate) fn ping(&mut self) {
        if self.closing {
            return;
        }
        self.writer.push_urgent(Bytes::from_static(PING));
        self.dirty = true;
    }

    /// When the socket took something the last time.
    pub(crate) fn left_at(&self) -> Option<Instant> {
        self.writer.left_at()
    }

    fn close(&mut self, close: &Close) {
        let code = CloseCode::from(close.code);
        self.reader.close(CloseFrame { code, reason: close.wire_reason().into() });
        self.take_reply();
    }

    /// Waits for the next thing to happen, writing what is pushed meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when dropped: all state is here.
    pub(crate) async fn step(&mut self) -> Step {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Waits until the socket has taken some or all of what was pushed, and reads nothing meanwhile.
    ///
    /// # Cancel safety
    ///
    /// As [`step`](Self::step).
    #[cfg(feature = "test-support")]
    pub(crate) async fn written(&mut self) -> Step {
        poll_fn(|cx| self.poll_written(cx)).await
    }

    /// Writes what was pushed; says whether the connection has ended. A peer that breaks something meanwhile still hears
    /// what was decided before.
    pub(crate) async fn flush(&mut self) -> bool {
        while !self.is_clear() {
            if let Step::Ended(_) = self.step().await {
                return true;
            }
        }
        false
    }

    /// Closes behind what was pushed, and waits until the peer has heard it.
    pub(crate) async fn say_closed(&mut self, close: &Close) {
        self.close(close);
        if self.flush().await || self.read_over {
            return;
        }
        // The echo; what else the peer still sends is of no interest.
        while !matches!(self.step().await, Step::Ended(_) | Step::Broken(_)) {}
    }

    /// Says goodbye at the transport's level to a peer of which more may be on its way: to close on unread bytes is a
    /// reset, which may take the close frame with it.
    pub(crate) async fn linger(&mut self) {
        let read = async {
            let _ = self.io.shutdown().await;
            let mut rest = (&mut self.io).take(LINGER_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        let _ = tokio::time::timeout(LINGER_TIME, read).await;
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.dirty
            && let Poll::Ready(step) = self.poll_written(cx)
        {
            return Poll::Ready(step);
        }
        self.poll_heard(cx)
    }

    /// Reads on, whatever is still to be written.
    pub(crate) fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.read_over {
            // The answer to the peer's close, or the reason of ours, is the last thing that leaves.
            return if self.dirty { Poll::Pending } else { Poll::Ready(Step::Ended(self.peer_code)) };
        }
        let heard = ready!(self.reader.poll(&mut self.io, cx));
        self.take_reply();
        Poll::Ready(match heard {
            Heard::Message(Message::Text(text)) => Step::Text(text),
            Heard::Message(Message::Binary(bytes)) => Step::Binary(bytes),
            Heard::Message(Message::Close(frame)) => {
                self.peer_code = Some(frame.map_or(1005, |frame| frame.code.into()));
                self.read_over = true;
                Step::Alive
            }
            Heard::Message(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Step::Alive,
            Heard::Part => Step::Part,
            Heard::Broken(close) => {
                (self.read_over, self.broken) = (true, true);
                Step::Broken(close)
            }
            Heard::Gone => {
                self.read_over = true;
                Step::Ended(None)
            }
        })
    }

    /// Writes on; there must be something that the socket has not taken.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let before = self.writer.taken();
        let flushed = self.writer.poll(&mut self.io, cx);
        let progress = self.full && self.writer.taken() > before;
        self.full = flushed.is_pending();
        match flushed {
            Poll::Ready(Err(_)) => {
                self.dirty = false;
                self.read_over = true;
                Poll::Ready(Step::Ended(self.peer_code))
            }
            // The end of a long flush is progress too; what is left to do is looked at again.
            _ if progress => Poll::Ready(Step::Progress),
            Poll::Ready(Ok(())) => {
                self.dirty = false;
                Poll::Ready(Step::Flushed)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Hands the reader's reply to the writer.
    fn take_reply(&mut self) {
        let Some(reply) = self.reader.take_reply() else { return };
        if reply.first() == Some(&CLOSE) {
            // After what was pushed.
            self.writer.push(reply, None);
            self.closing = true;
        } else {
            self.writer.push_urgent(reply);
        }
        self.dirty = true;
    }
}

#[cfg(test)]
mod tests;
