//! Which version of HTTP a client begins to speak.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a client that knows that this server speaks HTTP/2 begins with (RFC 9113, 3.4). It is no request of HTTP/1.1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection, and what they are.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Sniffed {
    pub(crate) is_http2: bool,
    /// What was read, for the one who reads on.
    pub(crate) read: Bytes,
}

/// Reads until it is clear what the client speaks: most often one byte, and never more than the 24 of the preface.
///
/// A client that ends before speaks nothing, which is left to HTTP/1.1 to find out.
///
/// # Errors
///
/// Those of the stream.
pub(crate) async fn sniff<T: AsyncRead + Unpin>(stream: &mut T) -> io::Result<Sniffed> {
    let mut read = [0; PREFACE.len()];
    let mut count = 0;
    loop {
        let more = match read.get_mut(count..) {
            Some(rest) if !rest.is_empty() => stream.read(rest).await?,
            _ => 0,
        };
        count += more;
        let so_far = read.get(..count).unwrap_or_default();
        let is_preface = PREFACE.starts_with(so_far);
        if more == 0 || !is_preface || count == PREFACE.len() {
            let is_http2 = is_preface && count == PREFACE.len();
            return Ok(Sniffed { is_http2, read: Bytes::copy_from_slice(so_far) });
        }
    }
}

#[cfg(test)]
mod tests;
