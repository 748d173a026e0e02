//! The socket: reads and writes at the same time on one task.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use crate::config::Limits;
use crate::metrics::Metrics;
use crate::protocol::Close;
use crate::protocol::codec::Text;
use crate::session::intake::Intake;
use crate::session::outbox::Queued;
use crate::session::writer::Writer;

/// Enough for requests; the default of 128 KiB would be paid by every idle connection.
const READ_BUFFER: usize = 4 * 1024;
/// How much of a refused frame is still read, so that the close frame is not lost to a reset.
const LINGER_BYTES: u64 = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// An empty ping, and the first byte of a close frame (RFC 6455, section 5.5).
const PING: &[u8] = &[0x89, 0];
const CLOSE: u8 = 0x88;

/// A WebSocket as a message pipe.
///
/// The rules of RFC 6455 for what comes, and the answers that they ask for, are tungstenite's; what we say is written by
/// [`Writer`], without a copy for each connection.
pub(crate) struct Wire<S> {
    io: S,
    reader: WebSocketContext,
    intake: Intake,
    /// A pong or a close frame that the reader has answered with; empty but for a moment.
    reply: Vec<u8>,
    writer: Writer,
    /// Something was pushed that the socket has not taken.
    dirty: bool,
    /// The socket was full: from here on it takes more only when the peer has taken some.
    full: bool,
    /// The code of the peer's close frame.
    peer_code: Option<u16>,
    /// Nothing can be read any more; what was pushed may still leave.
    read_over: bool,
    /// A close frame was pushed, and nothing may follow it (RFC 6455, section 5.5.1).
    closing: bool,
}

/// What happened on the socket.
pub(crate) enum Step {
    /// A text frame.
    Text(Utf8Bytes),
    /// A binary frame, which the protocol does not have.
    Binary,
    /// A ping, whose pong is on its way already, a pong, or the peer's close frame: a sign of life.
    Alive,
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
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // Only replies are written by the reader, and each leaves it at once.
            .write_buffer_size(0)
            .max_message_size(Some(limits.frame_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        Self {
            io,
            reader: WebSocketContext::new(Role::Server, Some(config)),
            intake: Intake::new(limits),
            reply: Vec::new(),
            writer: Writer::new(metrics),
            dirty: false,
            full: false,
            peer_code: None,
            read_over: false,
            closing: false,
        }
    }

    /// Whether the socket has taken everything, so that more may be pushed.
    pub(crate) fn is_clear(&self) -> bool {
        !self.dirty
    }

    /// Pushes a frame. Once the connection closes there is nobody to have it.
    pub(crate) fn push(&mut self, queued: Queued) {
        if self.closing {
            return;
        }
        let at = queued.at();
        self.writer.push(queued.text.into_bytes(), at);
        self.dirty = true;
    }

    /// Pushes what no queue has bounded: the last word.
    pub(crate) fn push_text(&mut self, text: Text) {
        if self.closing {
            return;
        }
        self.writer.push(text.into_bytes(), None);
        self.dirty = true;
    }

    pub(crate) fn ping(&mut self) {
        if self.closing {
            return;
        }
        self.writer.push_urgent(Bytes::from_static(PING));
        self.dirty = true;
    }

    pub(crate) fn close(&mut self, close: &Close) {
        let frame = CloseFrame { code: CloseCode::from(close.code), reason: close.wire_reason().into() };
        // A pong may still be with the reader, and would leave behind the close frame.
        let _ = self.reader.flush(&mut Reply(&mut self.reply));
        self.take_reply();
        // Fails only when the peer has closed, and then its own close has been answered.
        let _ = self.reader.close(&mut Reply(&mut self.reply), Some(frame));
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

    /// Says goodbye at the transport's level to a peer that may still be sending.
    pub(crate) async fn linger(mut self) {
        let read = async {
            let _ = self.io.shutdown().await;
            let mut rest = self.io.take(LINGER_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        let _ = tokio::time::timeout(LINGER_TIME, read).await;
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if self.dirty
                && let Poll::Ready(step) = self.poll_written(cx)
            {
                return Poll::Ready(step);
            }
            if self.read_over {
                // The answer to the peer's close is the last thing that leaves.
                return if self.dirty { Poll::Pending } else { Poll::Ready(Step::Ended(self.peer_code)) };
            }
            let mut tap = Tap { io: &mut self.io, cx, intake: &mut self.intake, reply: &mut self.reply };
            let read = self.reader.read(&mut tap);
            let replied = self.take_reply();
            if let Some(close) = self.intake.excess() {
                // What was begun, and the reason, may still leave.
                self.read_over = true;
                return Poll::Ready(Step::Broken(close.clone()));
            }
            return Poll::Ready(match read {
                Ok(Message::Text(text)) => Step::Text(text),
                Ok(Message::Binary(_)) => Step::Binary,
                Ok(Message::Close(frame)) => {
                    self.peer_code = Some(frame.map_or(1005, |frame| frame.code.into()));
                    Step::Alive
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Step::Alive,
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if replied {
                        continue;
                    }
                    return Poll::Pending;
                }
                Err(error) => {
                    self.read_over = true;
                    match error {
                        WsError::ConnectionClosed if self.dirty => continue,
                        WsError::Capacity(_) => Step::Broken(Close::TOO_BIG),
                        WsError::Utf8(_) => Step::Broken(Close::NOT_UTF8),
                        // The link broke; nobody is there to hear a close frame.
                        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Step::Ended(None),
                        WsError::Protocol(_) => Step::Broken(Close::MALFORMED),
                        WsError::ConnectionClosed | WsError::AlreadyClosed => Step::Ended(self.peer_code),
                        _ => Step::Ended(None),
                    }
                }
            });
        }
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
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

    /// Hands the reader's reply to the writer; says whether there was one.
    fn take_reply(&mut self) -> bool {
        if self.reply.is_empty() {
            return false;
        }
        let reply = Bytes::from(std::mem::take(&mut self.reply));
        if reply.first() == Some(&CLOSE) {
            // After what was pushed.
            self.writer.push(reply, None);
            self.closing = true;
        } else {
            self.writer.push_urgent(reply);
        }
        self.dirty = true;
        true
    }
}

/// The socket as the reader sees it, within one poll.
struct Tap<'a, 'b, S> {
    io: &'a mut S,
    cx: &'a mut Context<'b>,
    intake: &'a mut Intake,
    reply: &'a mut Vec<u8>,
}

/// A socket on which there is nothing to read.
struct Reply<'a>(&'a mut Vec<u8>);

// === impl Tap ===

impl<S: AsyncRead + Unpin> Read for Tap<'_, '_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(into);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => read?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        self.intake.came(buffer.filled());
        Ok(buffer.filled().len())
    }
}

impl<S> Write for Tap<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reply.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Reply ===

impl Read for Reply<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Reply<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
