//! Takes a header off a stream, and not a byte more.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, copy, sink};
use tokio::net::TcpStream;

use crate::edge::proxy_protocol::header::{self, ADDRESSES, HEAD, LINE, SIGNATURE};

/// A stream that can be looked at before it is read.
pub(crate) trait Peek: AsyncRead + Unpin + Send {
    /// Copies what is there, and leaves it there. Nothing is there at the end of the stream.
    fn peek(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

impl Peek for TcpStream {
    async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Self::peek(self, buf).await
    }
}

/// The client that the header names; `None` for the front itself.
pub(crate) async fn header(stream: &mut impl Peek) -> io::Result<Option<SocketAddr>> {
    // No header of either version is shorter.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    let client = if start == SIGNATURE { version_2(stream).await? } else { version_1(stream, start).await? };
    client.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a PROXY header"))
}

async fn version_1(
    stream: &mut impl Peek,
    start: [u8; SIGNATURE.len()],
) -> io::Result<Option<Option<SocketAddr>>> {
    if !start.starts_with(b"PROXY ") {
        return Ok(None);
    }
    let mut line = [0; LINE];
    let (mut filled, _) = (start.len(), line[..start.len()].copy_from_slice(&start));
    while filled < LINE {
        // A look at what is there tells how much of it is the line's.
        let seen = stream.peek(&mut line[filled..]).await?;
        let end = line[filled..filled + seen].iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(seen, |end| end + 1);
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += stream.read_exact(&mut line[filled..filled + taken]).await?;
        if end.is_some() {
            return Ok(header::version_1(&line[..filled]));
        }
    }
    Ok(None)
}

async fn version_2(stream: &mut impl Peek) -> io::Result<Option<Option<SocketAddr>>> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let mut addresses = [0; ADDRESSES];
    let addresses = &mut addresses[..length.min(ADDRESSES)];
    stream.read_exact(addresses).await?;
    let client = header::version_2(head, addresses);
    if client.is_some() {
        let rest = (length - addresses.len()) as u64;
        if copy(&mut stream.take(rest), &mut sink()).await? < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(client)
}
