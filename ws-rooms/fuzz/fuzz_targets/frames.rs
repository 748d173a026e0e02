//! Whatever a client sends: the same messages, answers and end, in whatever pieces it comes, and those that a plain reading
//! of RFC 6455 finds.
//!
//! The first byte says how large the pieces are, the second bounds what may come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tramline_ws_rooms::fuzzing::{Read, Said, read};

fuzz_target!(|bytes: &[u8]| {
    let [pieces, bounds, bytes @ ..] = bytes else { return };
    let frame_bytes = usize::from(bounds >> 3) * 10 + 1;
    let fragments = u32::from(bounds & 7) + 1;
    let whole = read(bytes, usize::MAX, frame_bytes, fragments);
    let pieces = read(bytes, usize::from(*pieces), frame_bytes, fragments);
    assert_eq!(whole, pieces, "it depends on the pieces: {bytes:x?}");
    let plain = Plain::read(bytes, frame_bytes, fragments);
    let Read { said, broken, replies, .. } = whole;
    assert_eq!((said, broken, replies), (plain.said, plain.broken, plain.replies), "{bytes:x?}");
});

/// A plain reading.
#[derive(Default)]
struct Plain {
    said: Vec<Said>,
    broken: Option<u16>,
    replies: Vec<u8>,
    /// The message that has begun: whether it is a text, and what there is of it.
    begun: Option<(bool, Vec<u8>)>,
}

/// The end of it, with a code if a rule was broken.
struct Over(Option<u16>);

const WRONG: Result<(), Over> = Err(Over(Some(1002)));

// === impl Plain ===

impl Plain {
    fn read(mut bytes: &[u8], frame_bytes: usize, fragments: u32) -> Self {
        let mut plain = Self::default();
        let mut number = 0;
        let over = loop {
            match plain.frame(&mut bytes, frame_bytes, fragments, &mut number) {
                Ok(()) => {}
                Err(Over(code)) => break code,
            }
        };
        plain.broken = over;
        plain
    }

    /// Reads one frame.
    fn frame(
        &mut self,
        bytes: &mut &[u8],
        most: usize,
        fragments: u32,
        number: &mut u32,
    ) -> Result<(), Over> {
        let over = Over(None);
        let Some(first) = bytes.first() else { return Err(over) };
        let (fin, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0F);
        if opcode < 8 {
            *number = if opcode == 0 { *number + 1 } else { 1 };
            if *number > fragments {
                return Err(Over(Some(1009)));
            }
            if fin {
                *number = 0;
            }
        }
        let Some(second) = bytes.get(1) else { return Err(over) };
        let (masked, wide) = (
            second & 0x80 != 0,
            match second & 0x7F {
                126 => 2,
                127 => 8,
                _ => 0,
            },
        );
        let head = 2 + wide + if masked { 4 } else { 0 };
        let Some((header, rest)) = bytes.split_at_checked(head) else { return Err(over) };
        if !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) {
            return WRONG;
        }
        let length = match wide {
            0 => u64::from(second & 0x7F),
            wide => header[2..2 + wide].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if length > most as u64 {
            return Err(Over(Some(1009)));
        }
        let Some((payload, rest)) = rest.split_at_checked(length as usize) else { return Err(over) };
        *bytes = rest;
        if !masked || reserved != 0 || opcode >= 8 && (!fin || length > 125) {
            return WRONG;
        }
        let mask = &header[head - 4..];
        let payload: Vec<u8> =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        match (opcode, self.begun.take()) {
            (8, _) => self.close(&payload),
            (9, begun) => {
                self.begun = begun;
                self.reply(0x8A, &payload);
                self.said.push(Said::Ping(payload));
                Ok(())
            }
            (10, begun) => {
                self.begun = begun;
                self.said.push(Said::Pong(payload));
                Ok(())
            }
            (0, Some((text, begun))) => self.data(text, [begun, payload].concat(), fin, most),
            (1 | 2, None) => self.data(opcode == 1, payload, fin, most),
            _ => WRONG,
        }
    }

    fn data(&mut self, text: bool, message: Vec<u8>, fin: bool, most: usize) -> Result<(), Over> {
        if message.len() > most {
            return Err(Over(Some(1009)));
        }
        let broken = match std::str::from_utf8(&message) {
            Ok(_) => false,
            // The rest of a character may come.
            Err(error) => fin || error.error_len().is_some(),
        };
        match (text, fin) {
            (true, _) if broken => return Err(Over(Some(1007))),
            (_, false) => self.begun = Some((text, message)),
            (true, true) => self.said.push(Said::Text(String::from_utf8(message).expect("it was looked at"))),
            (false, true) => self.said.push(Said::Binary(message)),
        }
        Ok(())
    }

    fn close(&mut self, payload: &[u8]) -> Result<(), Over> {
        let code = match payload {
            [] => {
                self.reply(0x88, &[]);
                None
            }
            [_] => return WRONG,
            [_, _, reason @ ..] if std::str::from_utf8(reason).is_err() => return Err(Over(Some(1007))),
            [high, low, ..] => Some(match u16::from_be_bytes([*high, *low]) {
                code @ (1000..=1003 | 1007..=1013 | 3000..=4999) => {
                    self.reply(0x88, payload);
                    code
                }
                _ => {
                    self.reply(0x88, b"\x03\xEAProtocol violation");
                    1002
                }
            }),
        };
        self.said.push(Said::Close(code));
        Err(Over(None))
    }

    fn reply(&mut self, first: u8, payload: &[u8]) {
        // A control frame's length is one byte.
        self.replies.extend([first, payload.len() as u8]);
        self.replies.extend(payload);
    }
}
