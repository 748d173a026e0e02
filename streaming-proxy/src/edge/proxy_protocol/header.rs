//! What a header says. `None` outside: it is none; `None` inside: the connection is the front's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What a header of version 2 begins with.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What follows the signature: version and command, family and protocol, length.
pub(super) const HEAD: usize = 4;

/// The longest line of version 1, its end included (specification, 2.1).
pub(super) const LINE: usize = 107;

/// The longest addresses of version 2 that are looked at: two of IPv6 with their ports.
pub(super) const ADDRESSES: usize = 36;

/// `line` is what came up to the first line feed, that included.
pub(super) fn version_1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let line = line.strip_prefix("PROXY ")?;
    // What follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut parts = line.split(' ');
    let family = parts.next()?;
    let (source, destination) = (parts.next()?, parts.next()?);
    let (source_port, destination_port) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let source = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination)?,
        "TCP6" => both::<Ipv6Addr>(source, destination)?,
        _ => return None,
    };
    port(destination_port)?;
    Some(Some(SocketAddr::new(source, port(source_port)?)))
}

/// `addresses` is as much of the rest as [`ADDRESSES`] hold.
pub(super) fn version_2([command, family, ..]: [u8; HEAD], addresses: &[u8]) -> Option<Option<SocketAddr>> {
    match command {
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    match family {
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses.first_chunk::<12>()?;
            Some(Some(SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low]))))
        }
        0x21 => {
            let addresses = addresses.first_chunk::<36>()?;
            let source = addresses.first_chunk::<16>()?;
            Some(Some(SocketAddr::new((*source).into(), u16::from_be_bytes([addresses[32], addresses[33]]))))
        }
        // Unspecified, datagrams and Unix sockets: nothing that a peer of ours can be.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Some(None),
        _ => None,
    }
}

/// The first of two addresses, if both are of this family.
fn both<A: FromStr + Into<IpAddr>>(source: &str, destination: &str) -> Option<IpAddr> {
    destination.parse::<A>().ok()?;
    source.parse::<A>().ok().map(Into::into)
}

/// Digits without a sign, and without zeroes in front.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
