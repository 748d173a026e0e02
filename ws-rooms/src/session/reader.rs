//! What the peer says: by tungstenite's rules, in memory that only a peer has who is speaking.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::config::Limits;
use crate::protocol::Close;
use crate::session::intake::Intake;

/// What is read of a socket at once, on the stack: four times make the largest message.
const SCRATCH: usize = 16 * 1024;
/// What tungstenite takes of that at once, which it allocates for each message. Most are smaller.
const BITE: usize = 1024;

/// Reads messages.
///
/// Between messages a peer has nothing here but counters: what a message needs is made when its first byte comes, and
/// goes with it. It would keep the memory of its largest message otherwise.
pub(crate) struct Reader {
    /// There is one within a message, and from our own close frame on, which it has to know of.
    context: Option<Box<WebSocketContext>>,
    /// What came behind the message that was told last.
    rest: Bytes,
    intake: Intake,
    /// A pong or a close frame as an answer; empty but for a moment.
    reply: Vec<u8>,
    frame_bytes: usize,
    /// Something was told, and what came behind it has not been looked at.
    behind: bool,
    /// We have sent a close frame.
    closing: bool,
}

/// What the peer said. Nothing comes behind what is no message, nor behind its close frame.
pub(crate) enum Heard {
    Message(Message),
    /// Bytes of a message that is not whole.
    Part,
    /// It broke RFC 6455 or a limit.
    Broken(Close),
    /// It is gone, without a word.
    Gone,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            context: None,
            rest: Bytes::new(),
            intake: Intake::new(limits),
            reply: Vec::new(),
            frame_bytes: limits.frame_bytes,
            behind: false,
            closing: false,
        }
    }

    /// The next message, or part of one. What is to be answered to it is in [`take_reply`](Self::take_reply) by then.
    pub(crate) fn poll<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<Heard> {
        loop {
            if self.context.is_some() {
                // Messages may wait in there, too.
                let mut rest = std::mem::take(&mut self.rest);
                let mut bytes = &rest[..];
                let heard = self.hear(&mut bytes);
                let taken = rest.len() - bytes.len();
                rest.advance(taken);
                if !rest.is_empty() {
                    self.rest = rest;
                }
                if let Some(heard) = heard {
                    return Poll::Ready(heard);
                }
            }
            // INVARIANT: tungstenite has told of all that came, so it is between messages where the intake is.
            if let Some(excess) = self.intake.excess() {
                return Poll::Ready(Heard::Broken(excess));
            }
            let between = self.intake.is_between_messages();
            if std::mem::take(&mut self.behind) && !between {
                // It began in the same read as what was told before.
                return Poll::Ready(Heard::Part);
            }
            if between && !self.closing {
                self.context = None;
            }
            let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            if ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Heard::Gone);
            }
            let within = self.intake.came(buffer.filled());
            let mut bytes = &buffer.filled()[..within];
            let heard = self.hear(&mut bytes);
            self.rest = Bytes::copy_from_slice(bytes);
            match heard {
                Some(heard) => {
                    self.behind = true;
                    return Poll::Ready(heard);
                }
                None if within > 0 => return Poll::Ready(Heard::Part),
                None => {}
            }
        }
    }

    /// Whether a message has come in part: a control frame may stand between its frames.
    pub(crate) fn is_within_message(&self) -> bool {
        self.intake.is_within_message()
    }

    /// The answer to what was heard last, or our close frame, as it goes on the wire.
    pub(crate) fn take_reply(&mut self) -> Option<Bytes> {
        (!self.reply.is_empty()).then(|| std::mem::take(&mut self.reply).into())
    }

    /// Makes our close frame, unless the peer's has been answered.
    pub(crate) fn close(&mut self, frame: CloseFrame) {
        self.closing = true;
        let context = self.context.get_or_insert_with(|| new_context(self.frame_bytes));
        // Fails only when the peer has closed.
        let _ = context.close(&mut Tap { bytes: &mut &[][..], reply: &mut self.reply }, Some(frame));
    }

    /// Takes of these bytes what belongs to one message, if they end it, or all of them.
    fn hear(&mut self, bytes: &mut &[u8]) -> Option<Heard> {
        let context = self.context.get_or_insert_with(|| new_context(self.frame_bytes));
        let mut tap = Tap { bytes, reply: &mut self.reply };
        Some(match context.read(&mut tap) {
            Ok(message) => {
                if matches!(message, Message::Ping(_) | Message::Close(_)) {
                    // The answer, which would wait for the next message otherwise. Behind a close frame it says that
                    // this was the last.
                    let _ = context.flush(&mut tap);
                }
                Heard::Message(message)
            }
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(WsError::Capacity(_)) => Heard::Broken(Close::TOO_BIG),
            Err(WsError::Utf8(_)) => Heard::Broken(Close::NOT_UTF8),
            Err(WsError::Protocol(_)) => Heard::Broken(Close::MALFORMED),
            Err(_) => Heard::Gone,
        })
    }
}

fn new_context(frame_bytes: usize) -> Box<WebSocketContext> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BITE)
        // Only replies are written, and each leaves at once.
        .write_buffer_size(0)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes));
    Box::new(WebSocketContext::new(Role::Server, Some(config)))
}

/// What has come, as a socket that tungstenite can read, and what it writes.
struct Tap<'a, 'b> {
    bytes: &'a mut &'b [u8],
    reply: &'a mut Vec<u8>,
}

// === impl Tap ===

impl Read for Tap<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.read(into)
    }
}

impl Write for Tap<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reply.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
