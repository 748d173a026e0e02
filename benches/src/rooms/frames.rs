//! Frames of RFC 6455, as far as counting needs it.

use anyhow::{bail, ensure};

/// What comes from a server, cut into frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a frame that is not whole yet.
    begun: Vec<u8>,
}

/// One frame of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    Close,
}

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// No server of a measurement sends a longer one.
const LONGEST: u64 = 1 << 20;

// === impl Frames ===

impl Frames {
    /// Hands over the frames that these bytes complete.
    ///
    /// # Errors
    ///
    /// If they are none that a server sends here, or if `take` fails.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Frame<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.begun.is_empty() {
            let used = cut(bytes, &mut take)?;
            self.begun.extend_from_slice(&bytes[used..]);
        } else {
            self.begun.extend_from_slice(bytes);
            let used = cut(&self.begun, &mut take)?;
            self.begun.drain(..used);
        }
        Ok(())
    }
}

/// Hands over the whole frames at the beginning; how many bytes they take.
fn cut(bytes: &[u8], take: &mut impl FnMut(Frame<'_>) -> anyhow::Result<()>) -> anyhow::Result<usize> {
    let mut used = 0;
    while let Some((frame, size)) = first(&bytes[used..])? {
        take(frame)?;
        used += size;
    }
    Ok(used)
}

/// The first frame and its size, when it is whole.
fn first(bytes: &[u8]) -> anyhow::Result<Option<(Frame<'_>, usize)>> {
    let [head, second, rest @ ..] = bytes else { return Ok(None) };
    ensure!(second & MASKED == 0, "a server's frame is masked");
    let (length, start) = match second {
        126 => match rest.first_chunk() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        short => (u64::from(*short), 2),
    };
    ensure!(length <= LONGEST, "a frame of {length} bytes");
    let end = start + usize::try_from(length)?;
    let Some(payload) = bytes.get(start..end) else { return Ok(None) };
    ensure!(head & FIN != 0, "a message in pieces");
    let frame = match head & !FIN {
        TEXT => Frame::Text(payload),
        CLOSE => Frame::Close,
        PING => Frame::Ping(payload),
        PONG => Frame::Pong,
        other => bail!("a frame that begins with {other:#x}"),
    };
    Ok(Some((frame, end)))
}

/// A text frame of a client.
pub(super) fn text(payload: &str) -> Vec<u8> {
    masked(TEXT, payload.as_bytes())
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(PONG, payload)
}

/// A text frame of a server.
pub(super) fn unmasked_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = head(TEXT, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

/// With a mask of zeros, which is one, and leaves the payload as it is.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, payload.len(), MASKED);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn head(opcode: u8, length: usize, mask: u8) -> Vec<u8> {
    let mut head = vec![FIN | opcode];
    match u8::try_from(length) {
        Ok(short @ 0..=125) => head.push(mask | short),
        _ => {
            let long = u16::try_from(length).expect("nobody here says more than 64 KiB at once");
            head.push(mask | 126);
            head.extend_from_slice(&long.to_be_bytes());
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(frames: &mut Frames, bytes: &[u8]) -> Vec<String> {
        let mut texts = Vec::new();
        let take = |frame: Frame<'_>| {
            texts.push(format!("{frame:?}"));
            Ok(())
        };
        frames.feed(bytes, take).unwrap();
        texts
    }

    /// However the bytes are cut, the frames are the same.
    #[test]
    fn frames_come_whole() {
        let long = "x".repeat(300);
        let mut all = unmasked_text(b"a");
        all.extend([FIN | PING, 1, b'p', FIN | CLOSE, 0]);
        all.extend(unmasked_text(long.as_bytes()));
        let whole = texts(&mut Frames::default(), &all);
        assert_eq!(whole[..3], ["Text([97])", "Ping([112])", "Close"]);
        assert_eq!(whole.len(), 4);
        for at in 0..all.len() {
            let mut frames = Frames::default();
            let mut pieces = texts(&mut frames, &all[..at]);
            pieces.extend(texts(&mut frames, &all[at..]));
            assert_eq!(pieces, whole, "cut at {at}");
        }
    }

    #[test]
    fn a_clients_frame_is_masked_by_zeros() {
        assert_eq!(text("40"), [0x81, 0x82, 0, 0, 0, 0, b'4', b'0']);
        assert_eq!(pong(b""), [0x8A, 0x80, 0, 0, 0, 0]);
    }

    #[test]
    fn what_no_server_sends_is_an_error() {
        for bytes in [&[0x81, 0x80][..], &[0x01, 1, b'a'], &[0x82, 0], &[0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]] {
            assert!(Frames::default().feed(bytes, |_| Ok(())).is_err(), "{bytes:?}");
        }
    }
}
