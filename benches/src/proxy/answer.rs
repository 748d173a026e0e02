//! Reads as much of an answer as its truth needs: status and length.

use std::io::{ErrorKind, Read};

use anyhow::{Context, bail, ensure};

/// The head of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    /// How many bytes it takes, its empty line included.
    pub(super) size: usize,
    /// How many bytes follow.
    pub(super) length: u64,
}

/// No answer of the origin has a longer one, whatever a proxy adds.
const LONGEST_HEAD: usize = 8192;

// === impl Head ===

impl Head {
    /// Reads the head of an answer with status 200 and a length; none while it is not whole.
    ///
    /// # Errors
    ///
    /// If the answer is any other.
    pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(bytes.len() < LONGEST_HEAD, "an answer's head does not end");
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end]).context("an answer's head is no text")?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        ensure!(first.starts_with("HTTP/1.1 200"), "answered with «{first}»");
        let mut length = None;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { bail!("no field: «{line}»") };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse().context("an answer's length")?);
            } else if name.eq_ignore_ascii_case("connection") {
                ensure!(!value.trim().eq_ignore_ascii_case("close"), "the connection is not kept");
            }
        }
        let length = length.context("an answer without a length")?;
        Ok(Some(Self { size: end + 4, length }))
    }

    /// Reads a head from a blocking connection, and what of the body came with it.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), or if the connection ends before.
    pub(super) fn read(stream: &mut impl Read) -> anyhow::Result<(Self, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; LONGEST_HEAD];
        loop {
            let read = read(stream, &mut buffer)?;
            bytes.extend_from_slice(&buffer[..read]);
            if let Some(head) = Self::parse(&bytes)? {
                let body = bytes.split_off(head.size);
                return Ok((head, body));
            }
        }
    }
}

/// Reads a whole answer from a blocking connection; its body.
///
/// # Errors
///
/// As [`Head::read`].
pub(super) fn whole(stream: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let (head, mut body) = Head::read(stream)?;
    let length = usize::try_from(head.length)?;
    ensure!(body.len() <= length, "more than one answer");
    let mut at = body.len();
    body.resize(length, 0);
    while at < length {
        at += read(stream, &mut body[at..])?;
    }
    Ok(body)
}

/// Reads what there is, at least a byte.
///
/// # Errors
///
/// If the connection is at its end.
pub(super) fn read(stream: &mut impl Read, buffer: &mut [u8]) -> anyhow::Result<usize> {
    loop {
        match stream.read(buffer) {
            Ok(0) => bail!("the connection was closed"),
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the connection broke"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_whole_or_awaited() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc";
        assert_eq!(Head::parse(head).unwrap(), Some(Head { size: head.len() - 3, length: 3 }));
        assert_eq!(Head::parse(&head[..40]).unwrap(), None);
        assert_eq!(whole(&mut &head[..]).unwrap(), b"abc");
        assert!(whole(&mut &head[..head.len() - 1]).is_err());
    }

    /// A proxy that answers 502 is fast.
    #[test]
    fn any_other_answer_is_an_error() {
        for head in [
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n",
        ] {
            assert!(Head::parse(head.as_bytes()).is_err(), "{head}");
        }
    }
}
