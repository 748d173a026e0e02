//! Where one frame ends and the next begins (RFC 6455, section 5.2), without looking into any.

/// Follows the frames of a stream of bytes, however they are cut. What is no frame at all is the reader's to refuse.
#[derive(Default)]
pub(super) struct Cursor {
    at: At,
    /// Frames of the message that has begun and not ended.
    fragments: u32,
}

/// What some bytes brought.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    /// Pings and pongs that began.
    pub(super) control: u32,
    /// The most frames that a message had so far.
    pub(super) fragments: u32,
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
    /// Moves on over these bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.at {
                At::Start => {
                    self.starts(*first, &mut seen);
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
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= here as u64;
                    if *left == 0 {
                        self.at = At::Start;
                    }
                    bytes = &bytes[here..];
                    continue;
                }
            }
            bytes = rest;
        }
        seen
    }

    fn starts(&mut self, byte: u8, seen: &mut Seen) {
        let opcode = byte & OPCODE;
        if opcode >= CONTROL {
            seen.control += u32::from(opcode != CLOSE);
            return;
        }
        if opcode != 0 {
            // Not a continuation, so a message begins.
            self.fragments = 0;
        }
        self.fragments = self.fragments.saturating_add(1);
        seen.fragments = seen.fragments.max(self.fragments);
        if byte & FIN != 0 {
            self.fragments = 0;
        }
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
