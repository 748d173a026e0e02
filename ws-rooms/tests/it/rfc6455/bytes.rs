//! Frames as bytes.

use std::fmt;

pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;
pub(super) const PONG: u8 = 0x8A;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame from the server: its first byte and its payload.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Frame(pub(super) u8, pub(super) Vec<u8>);

// === impl Frame ===

impl Frame {
    pub(super) fn text(text: impl AsRef<[u8]>) -> Self {
        Self(TEXT, text.as_ref().to_vec())
    }

    pub(super) fn binary(bytes: impl AsRef<[u8]>) -> Self {
        Self(BINARY, bytes.as_ref().to_vec())
    }

    pub(super) fn pong(bytes: impl AsRef<[u8]>) -> Self {
        Self(PONG, bytes.as_ref().to_vec())
    }

    pub(super) fn close(code: u16, reason: &str) -> Self {
        Self(CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// What a frame that breaks a rule is answered with.
    pub(super) fn wrong() -> Self {
        Self::close(1002, "protocol error")
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(first, payload) = self;
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
        write!(f, "{first:02x}[{}]{shown:?}", payload.len())
    }
}

/// How a client writes a length.
#[derive(Clone, Copy)]
pub(super) enum Length {
    Byte,
    Two,
    Eight,
}

/// A client's frame, with the shortest length.
pub(super) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let length = match payload.as_ref().len() {
        0..126 => Length::Byte,
        126..65_536 => Length::Two,
        _ => Length::Eight,
    };
    frame_with(first, length, payload)
}

pub(super) fn frame_with(first: u8, length: Length, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(first, length, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The beginning of a frame, up to its payload.
pub(super) fn header(first: u8, length: Length, bytes: u64) -> Vec<u8> {
    let big = bytes.to_be_bytes();
    let mut header = vec![first];
    match length {
        Length::Byte => header.push(0x80 | big[7]),
        Length::Two => header.extend([0x80 | 126, big[6], big[7]]),
        Length::Eight => {
            header.push(0x80 | 127);
            header.extend(big);
        }
    }
    header.extend(MASK);
    header
}

/// A client's close frame.
pub(super) fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// The frames that a server sent; they are whole, and with the shortest length.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match *length {
            126 => {
                let length = u64::from(u16::from_be_bytes(rest[..2].try_into().unwrap()));
                assert!(length > 125, "{length} in two bytes");
                (length, &rest[2..])
            }
            127 => {
                let length = u64::from_be_bytes(rest[..8].try_into().unwrap());
                assert!(length > 65_535, "{length} in eight bytes");
                (length, &rest[8..])
            }
            length => {
                assert!(length < 126, "a server does not mask");
                (u64::from(length), rest)
            }
        };
        let (payload, rest) = rest.split_at(usize::try_from(length).unwrap());
        frames.push(Frame(*first, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}
