//! Whatever a front sends before everything else: as much is taken as the header is long, in whatever pieces it comes,
//! and the client is the one whom a plain reading of the specification finds.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use tramline_streaming_proxy::fuzzing::proxy_header;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fuzz_target!(|bytes: &[u8]| {
    let Some((pieces, bytes)) = bytes.split_first() else { return };
    let (header, left) = proxy_header(bytes, usize::MAX);
    let (again, left_again) = proxy_header(bytes, usize::from(*pieces).max(1));
    assert_eq!(header.as_ref().ok(), again.as_ref().ok(), "it depends on the pieces: {bytes:?}");
    if header.is_ok() {
        assert_eq!(left, left_again, "what is left depends on the pieces: {bytes:?}");
    }
    match (header, plain(bytes)) {
        (Ok(client), Some((wanted, length))) => {
            assert_eq!(client, wanted, "{bytes:?}");
            assert_eq!(left, bytes.len() - length, "{bytes:?}");
        }
        (Err(_), None) => {}
        (header, plain) => panic!("{header:?}, and a plain reading has {plain:?}: {bytes:?}"),
    }
});

/// The client, and how long the header is; none if it is no whole header.
fn plain(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    if bytes.starts_with(SIGNATURE) { version_2(bytes) } else { version_1(bytes) }
}

fn version_1(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let end = bytes.iter().take(107).position(|byte| *byte == b'\n')? + 1;
    let line = std::str::from_utf8(&bytes[..end]).ok()?.strip_suffix("\r\n")?;
    let words: Vec<&str> = line.split(' ').collect();
    let ip = |text: &str| -> Option<IpAddr> {
        match words.get(1) {
            Some(&"TCP4") => Some(text.parse::<Ipv4Addr>().ok()?.into()),
            Some(&"TCP6") => Some(text.parse::<Ipv6Addr>().ok()?.into()),
            _ => None,
        }
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text);
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Some((None, end)),
        ["PROXY", _, source, destination, from, to] => {
            ip(destination)?;
            port(to)?;
            Some((Some(SocketAddr::new(ip(source)?, port(from)?)), end))
        }
        _ => None,
    }
}

fn version_2(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let (head, rest) = bytes.split_at_checked(16)?;
    let length = usize::from(head[14]) << 8 | usize::from(head[15]);
    let addresses = rest.get(..length)?;
    let port = |at: usize| Some(u16::from_be_bytes([*addresses.get(at)?, *addresses.get(at + 1)?]));
    let client = match (head[12], head[13]) {
        (0x20, _) => None,
        (0x21, 0x11) => {
            let ip: [u8; 4] = addresses.get(..4)?.try_into().ok()?;
            addresses.get(..12)?;
            Some(SocketAddr::new(ip.into(), port(8)?))
        }
        (0x21, 0x21) => {
            let ip: [u8; 16] = addresses.get(..16)?.try_into().ok()?;
            addresses.get(..36)?;
            Some(SocketAddr::new(ip.into(), port(32)?))
        }
        (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        _ => return None,
    };
    Some((client, 16 + length))
}
