//! A frame as it goes on the wire, built once for all who get it.

use bytes::Bytes;

/// A text frame with its header (RFC 6455, section 5.2). Servers do not mask, so it is the same for everybody. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub(crate) struct Text(Bytes);

/// The longest header without a mask; the payload is written behind it, and the header right before the payload.
const HEADER: usize = 10;
/// A whole text message in one frame.
const FIN_TEXT: u8 = 0x81;

// === impl Text ===

impl Text {
    /// A frame whose text is what `write` appends, some `bytes` long.
    pub(crate) fn build(bytes: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self(frame(FIN_TEXT, bytes, write))
    }

    /// Bytes on the wire.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The text alone.
    #[cfg(test)]
    pub(crate) fn as_str(&self) -> &str {
        let header = match self.0[1] {
            126 => 4,
            127 => HEADER,
            _ => 2,
        };
        std::str::from_utf8(&self.0[header..]).expect("a text")
    }
}

/// An unmasked frame that begins with `first`, and whose payload is what `write` appends, some `bytes` long.
pub(crate) fn frame(first: u8, bytes: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut frame = Vec::with_capacity(HEADER + bytes);
    frame.resize(HEADER, 0);
    write(&mut frame);
    let length = frame.len() - HEADER;
    let start = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..126), _) => {
            frame[HEADER - 1] = length;
            HEADER - 2
        }
        (_, Ok(length)) => {
            frame[HEADER - 3] = 126;
            frame[HEADER - 2..HEADER].copy_from_slice(&length.to_be_bytes());
            HEADER - 4
        }
        _ => {
            frame[1] = 127;
            frame[2..HEADER].copy_from_slice(&(length as u64).to_be_bytes());
            0
        }
    };
    frame[start] = first;
    Bytes::from(frame).slice(start..)
}

#[cfg(test)]
impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::build(text.len(), |frame| frame.extend_from_slice(text.as_bytes()))
    }
}

#[cfg(test)]
impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
