//! Where one frame ends and the next begins (RFC 6455, section 5.2), without looking into any.

/// Follows the frames of a stream of bytes, however they are cut. What is no frame at all is the reader's to refuse.
#[derive(Default)]
pub(super) struct Cursor {
    at: At,
    /// Frames of the message that has begun and not ended.
    fragments: u32,
}

/// A frame that begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Frame {
    Close,
    /// A ping, a pong, or what is neither.
    Control,
    /// So many of a message's frames with this one.
    Data(u32),
}

#[derive(Default)]
enum At {
    /// The byte with the opcode comes.
    #[default]
    Start,
    /// The byte with the length comes.
    Length,
    /// So many bytes of a longer length come.
    LongLength { left: u8, so_far: u64, masked: bool },
    /// The mask and the payload: so many bytes.
    Payload(u64),
}

const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0F;
/// Opcodes from here on are control frames, section 5.5.
const CONTROL: u8 = 0x8;
const CLOSE: u8 = 0x8;
const MASKED: u8 = 0x80;

// === impl Cursor ===

impl Cursor {
    /// Moves on over these bytes, as far as `goes_on` says so of each frame that begins; how many bytes it went over.
    pub(super) fn feed(&mut self, bytes: &[u8], mut goes_on: impl FnMut(Frame) -> bool) -> usize {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            match &mut self.at {
                At::Start => {
                    if !goes_on(self.begins(*first)) {
                        break;
                    }
                    self.at = At::Length;
                }
                At::Length => {
                    let masked = first & MASKED != 0;
                    self.at = match first & !MASKED {
                        126 => At::LongLength { left: 2, so_far: 0, masked },
                        127 => At::LongLength { left: 8, so_far: 0, masked },
                        length => payload(u64::from(length), masked),
                    };
                }
                At::LongLength { left, so_far, masked } => {
                    *so_far = *so_far << 8 | u64::from(*first);
                    *left -= 1;
                    if *left == 0 {
                        self.at = payload(*so_far, *masked);
                    }
                }
                At::Payload(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    if *left == 0 {
                        self.at = At::Start;
                    }
                    rest = &rest[here..];
                    continue;
                }
            }
            rest = behind;
        }
        bytes.len() - rest.len()
    }

    /// Whether no message has begun that has not ended, and no frame either.
    pub(super) fn is_between_messages(&self) -> bool {
        matches!(self.at, At::Start) && self.fragments == 0
    }

    /// Whether frames of a message have begun, and its last one has not.
    pub(super) fn is_within_message(&self) -> bool {
        self.fragments > 0
    }

    fn begins(&mut self, byte: u8) -> Frame {
        let opcode = byte & OPCODE;
        if opcode >= CONTROL {
            return if opcode == CLOSE { Frame::Close } else { Frame::Control };
        }
        if opcode != 0 {
            // Not a continuation, so a message begins.
            self.fragments = 0;
        }
        let number = self.fragments.saturating_add(1);
        self.fragments = if byte & FIN == 0 { number } else { 0 };
        Frame::Data(number)
    }
}

/// What follows the length: nothing, for a frame without mask and payload.
fn payload(length: u64, masked: bool) -> At {
    match length.saturating_add(if masked { 4 } else { 0 }) {
        0 => At::Start,
        left => At::Payload(left),
    }
}

#[cfg(test)]
mod tests;
