//! How much a peer may send: counted before anybody has it in memory as a message.

use crate::config::Limits;
use crate::protocol::Close;
use crate::session::cursor::{Cursor, Frame};
use crate::session::pace::Pace;

/// Counts bytes, pings and pongs, and the fragments of a message.
pub(super) struct Intake {
    cursor: Cursor,
    bytes: Pace,
    control: Pace,
    fragments: u32,
    excess: Option<Excess>,
}

/// The limit that the peer has gone beyond.
#[derive(Clone, Copy)]
enum Excess {
    Fragments,
    Rate,
}

/// Seconds of bytes that may come at once. Four are, by default, four of the largest frames.
const BURST: f64 = 4.0;
/// The longest header of a frame (RFC 6455, section 5.2).
const HEADER: f64 = 14.0;

// === impl Intake ===

impl Intake {
    pub(super) fn new(limits: &Limits) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "the size of a frame, far below 2^52")]
        // What one message may be, in as many frames as it may come in, must not be too much at once.
        let message = limits.frame_bytes as f64 + HEADER * f64::from(limits.fragments);
        let burst = BURST * f64::from(limits.bytes_per_second);
        Self {
            cursor: Cursor::default(),
            bytes: Pace::new(limits.bytes_per_second, burst.max(message)),
            control: Pace::of_a_second(limits.control_frames_per_second),
            fragments: limits.fragments,
            excess: None,
        }
    }

    /// These bytes have come: so many of them, from the first, are within the limits. Of this peer no more than those is
    /// read when there are others.
    pub(super) fn came(&mut self, bytes: &[u8]) -> usize {
        if self.excess.is_some() {
            return 0;
        }
        let allowed = self.bytes.allows_of(bytes.len());
        let Self { cursor, control, fragments, excess, .. } = self;
        let within = cursor.feed(&bytes[..allowed], |frame| {
            *excess = match frame {
                Frame::Close => None,
                Frame::Control => (!control.allows(1.0)).then_some(Excess::Rate),
                Frame::Data(number) => (number > *fragments).then_some(Excess::Fragments),
            };
            excess.is_none()
        });
        if within < bytes.len() {
            self.excess.get_or_insert(Excess::Rate);
        }
        within
    }

    /// Why no more is read of this peer.
    pub(super) fn excess(&self) -> Option<Close> {
        self.excess.map(|excess| match excess {
            Excess::Fragments => Close::TOO_BIG,
            Excess::Rate => Close::TOO_MANY_MESSAGES,
        })
    }

    /// Whether frames of a message have come, and more are to follow.
    pub(super) fn is_within_message(&self) -> bool {
        self.cursor.is_within_message()
    }

    /// Whether what has come so far ends with a whole message.
    pub(super) fn is_between_messages(&self) -> bool {
        self.cursor.is_between_messages()
    }
}
