//! The socket: reads and writes at the same time on one task.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use crate::config::Limits;
use crate::protocol::Close;
use crate::protocol::codec::Text;
use crate::session::meter::Meter;

/// Enough for requests; the default of 128 KiB would be paid by every idle connection.
const READ_BUFFER: usize = 4 * 1024;
/// Frames up to here leave in one write; grows on demand.
const WRITE_BUFFER: usize = 4 * 1024;
/// How much of a refused frame is still read, so that the close frame is not lost to a reset.
const LINGER_BYTES: u64 = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// A WebSocket as a message pipe.
pub(crate) struct Wire<S> {
    socket: WebSocketStream<Meter<S>>,
    /// Something was pushed that the socket has not taken.
    dirty: bool,
    /// The socket was full: from here on it takes more only when the peer has taken some.
    full: bool,
    /// What it had taken when it was last looked at.
    taken: u64,
    /// The code of the peer's close frame.
    peer_code: Option<u16>,
    /// Nothing can be read any more; what was pushed may still leave.
    read_over: bool,
}

/// What happened on the socket.
pub(crate) enum Step {
    /// A text frame.
    Text(Text),
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
    pub(crate) async fn new(io: S, limits: &Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            // A batch and the largest answer; the queue in front of it has its own bound.
            .max_write_buffer_size(2 * (limits.queued_bytes + limits.recovery_bytes) + (1 << 20))
            .max_message_size(Some(limits.frame_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        Self {
            socket: WebSocketStream::from_raw_socket(Meter::new(io, limits), Role::Server, Some(config))
                .await,
            dirty: false,
            full: false,
            taken: 0,
            peer_code: None,
            read_over: false,
        }
    }

    /// Whether the socket has taken everything, so that more may be pushed.
    pub(crate) fn is_clear(&self) -> bool {
        !self.dirty
    }

    pub(crate) fn push(&mut self, text: Text) -> Result<(), Ended> {
        self.feed(Message::Text(text))
    }

    pub(crate) fn ping(&mut self) -> Result<(), Ended> {
        self.feed(Message::Ping(Bytes::new()))
    }

    pub(crate) fn close(&mut self, close: &Close) -> Result<(), Ended> {
        let frame = CloseFrame { code: CloseCode::from(close.code), reason: close.wire_reason().into() };
        self.feed(Message::Close(Some(frame)))
    }

    /// Waits for the next thing to happen, writing what is pushed meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when dropped: all state is in the socket.
    pub(crate) async fn step(&mut self) -> Step {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Says goodbye at the transport's level to a peer that may still be sending.
    pub(crate) async fn linger(mut self) {
        let io = self.socket.get_mut();
        let read = async {
            let _ = io.shutdown().await;
            let mut rest = io.take(LINGER_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        let _ = tokio::time::timeout(LINGER_TIME, read).await;
    }

    fn feed(&mut self, message: Message) -> Result<(), Ended> {
        self.dirty = true;
        Pin::new(&mut self.socket).start_send(message).map_err(|_| Ended)
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.dirty
            && let Poll::Ready(step) = self.poll_written(cx)
        {
            return Poll::Ready(step);
        }
        if self.read_over && self.dirty {
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.socket).poll_next(cx);
        if let Some(close) = self.socket.get_ref().excess() {
            return Poll::Ready(Step::Broken(close.clone()));
        }
        let Poll::Ready(read) = read else {
            return Poll::Pending;
        };
        self.read_over = !matches!(read, Some(Ok(_)));
        Poll::Ready(match read {
            None => Step::Ended(self.peer_code),
            Some(Ok(Message::Text(text))) => Step::Text(text),
            Some(Ok(Message::Binary(_))) => Step::Binary,
            Some(Ok(Message::Close(frame))) => {
                self.peer_code = Some(frame.map_or(1005, |frame| frame.code.into()));
                Step::Alive
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Step::Alive,
            Some(Err(WsError::Capacity(_))) => Step::Broken(Close::TOO_BIG),
            Some(Err(WsError::Utf8(_))) => Step::Broken(Close::NOT_UTF8),
            Some(Err(WsError::Protocol(error))) => {
                use tokio_tungstenite::tungstenite::error::ProtocolError;
                match error {
                    // The link broke; nobody is there to hear a close frame.
                    ProtocolError::ResetWithoutClosingHandshake => Step::Ended(None),
                    _ => Step::Broken(Close::MALFORMED),
                }
            }
            Some(Err(_)) => Step::Ended(None),
        })
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        let taken = self.socket.get_ref().taken();
        let progress = self.full && taken > self.taken;
        self.taken = taken;
        self.full = flushed.is_pending();
        match flushed {
            Poll::Ready(Err(_)) => {
                self.dirty = false;
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
}

/// The socket takes nothing more.
#[derive(Debug)]
pub(crate) struct Ended;
