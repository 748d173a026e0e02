//! How much a peer may send: counted before anybody has it in memory as a message.

use crate::config::Limits;
use crate::protocol::Close;
use crate::session::cursor::Cursor;
use crate::session::pace::Pace;

/// Counts bytes, pings and pongs, and the fragments of a message.
pub(super) struct Intake {
    cursor: Cursor,
    bytes: Pace,
    control: Pace,
    fragments: u32,
    /// The limit that the peer has gone beyond.
    excess: Option<Close>,
}

/// Seconds of bytes that may come at once. Four are, by default, four of the largest frames.
const BURST: u32 = 4;

// === impl Intake ===

impl Intake {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            cursor: Cursor::default(),
            bytes: Pace::new(limits.bytes_per_second, BURST),
            control: Pace::new(limits.control_frames_per_second, 1),
            fragments: limits.fragments,
            excess: None,
        }
    }

    /// Why no more is read of this peer.
    pub(super) fn excess(&self) -> Option<&Close> {
        self.excess.as_ref()
    }

    /// These bytes have come.
    pub(super) fn came(&mut self, bytes: &[u8]) {
        if self.excess.is_some() {
            return;
        }
        let seen = self.cursor.feed(bytes);
        #[allow(clippy::cast_precision_loss, reason = "the size of a read buffer")]
        let within = self.bytes.allows(bytes.len() as f64)
            && (seen.control == 0 || self.control.allows(f64::from(seen.control)));
        if !within {
            self.excess = Some(Close::TOO_MANY_MESSAGES);
        } else if seen.fragments > self.fragments {
            self.excess = Some(Close::TOO_BIG);
        }
    }
}
