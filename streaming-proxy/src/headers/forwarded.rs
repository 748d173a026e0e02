//! `X-Forwarded-For/Proto/Host`, `X-Real-IP` and `Forwarded` (RFC 7239).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{FORWARDED, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::scan::{Scan, Seen};
use crate::headers::{claims, framing};
use crate::trust::{ForwardedFamily, Peer, TrustedProxies};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What a trusted front says of the way that a request has come, in both families.
#[derive(Debug, Default)]
struct Believed {
    /// `X-Forwarded-For`, so far.
    chain: Vec<u8>,
    /// `Forwarded`, so far.
    elements: Vec<u8>,
    proto: Option<Proto>,
    host: Option<Authority>,
    client: Option<IpAddr>,
}

/// What this hop says of its peer. Both are parts of one text.
struct Own {
    node: HeaderValue,
    element: HeaderValue,
}

/// What the client spoke, as forwarding headers name it.
#[derive(Clone, Copy, Debug)]
struct Proto(&'static str);

/// Writes this hop's forwarding headers into a request from `peer` for `authority`.
///
/// All [claims](claims) are removed first, and so are their twins with underscores, which some upstreams cannot tell
/// apart. Of a trusted peer, what it is known to write is believed: added to in its own family, and told again in the
/// other.
pub(crate) fn apply(
    headers: &mut HeaderMap,
    scan: Scan,
    peer: Option<&Peer>,
    authority: Option<&Authority>,
    trusted: &TrustedProxies,
) {
    let (believed, fields) = match peer {
        Some(peer) if trusted.trusts(peer.addr.ip(), 0) => {
            (Believed::read(headers, peer, trusted), trusted.fields())
        }
        _ => (Believed::default(), [].as_slice()),
    };
    if scan.has(Seen::Unwanted) {
        claims::remove(headers, fields);
    }
    let Some(peer) = peer else { return };
    let ip = peer.addr.ip().to_canonical();
    let scheme = Proto(if peer.tls { "https" } else { "http" });
    let Some(own) = Own::new(ip, authority, scheme) else { return };

    let host = match (&believed.host, authority) {
        (Some(host), _) => HeaderValue::from_str(host.as_str()).ok(),
        // Nearly always what the client wrote, which need not be written again.
        (None, Some(authority)) => match headers.get(HOST) {
            Some(host) if host == authority.as_str() => Some(host.clone()),
            _ => HeaderValue::from_str(authority.as_str()).ok(),
        },
        (None, None) => None,
    };
    // These, `Via` and `Host`, at once.
    headers.reserve(7);
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
    let client = believed.client.filter(|client| *client != ip);
    let client = client.and_then(|client| HeaderValue::try_from(client.to_string()).ok());
    headers.insert(X_REAL_IP, client.unwrap_or_else(|| own.node.clone()));
    headers.insert(X_FORWARDED_FOR, added(believed.chain, own.node));
    headers.insert(FORWARDED, added(believed.elements, own.element));
    let Proto(proto) = believed.proto.unwrap_or(scheme);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
}

/// The addresses that the headers of `family` name, nearest first; `None` for what is not an address.
pub(crate) fn hops(headers: &HeaderMap, family: ForwardedFamily) -> Vec<Option<IpAddr>> {
    match family {
        ForwardedFamily::XForwarded => backwards(headers, &X_FORWARDED_FOR).map(parse_node).collect(),
        ForwardedFamily::Forwarded => {
            backwards(headers, &FORWARDED).map(|element| parse_node(parameter(element, "for")?)).collect()
        }
    }
}

// === impl Believed ===

impl Believed {
    fn read(headers: &HeaderMap, peer: &Peer, trusted: &TrustedProxies) -> Self {
        let hops = hops(headers, trusted.family());
        let about = Some(trusted.client(headers, peer.addr.ip()));
        // Each front has added one item to each list, so those about the client stand at the same place from the end.
        let client = hops
            .iter()
            .enumerate()
            .position(|(before, hop)| !hop.is_some_and(|ip| trusted.trusts(ip, before + 1)))
            .unwrap_or(hops.len().saturating_sub(1));
        match trusted.family() {
            ForwardedFamily::XForwarded => {
                let proto =
                    nth_or_last(backwards(headers, &X_FORWARDED_PROTO), client).and_then(Proto::parse);
                let host = nth_or_last(backwards(headers, &X_FORWARDED_HOST), client);
                let host = host.filter(|_| trusted.writes_host()).and_then(framing::plain_authority);
                let elements = hops.iter().enumerate().rev().map(|(place, hop)| match place == client {
                    true => element(*hop, host.as_ref(), proto),
                    false => element(*hop, None, None),
                });
                let elements = elements.fold(Vec::new(), |elements, element| append(elements, &element));
                Self { chain: joined(headers, &X_FORWARDED_FOR), elements, proto, host, client: about }
            }
            ForwardedFamily::Forwarded => {
                let element = backwards(headers, &FORWARDED).nth(client).unwrap_or_default();
                let nodes =
                    hops.iter().rev().map(|hop| hop.map_or("unknown".to_owned(), |ip| ip.to_string()));
                Self {
                    chain: nodes.fold(Vec::new(), |chain, node| append(chain, node.as_bytes())),
                    elements: joined(headers, &FORWARDED),
                    proto: parameter(element, "proto").and_then(Proto::parse),
                    host: parameter(element, "host").and_then(framing::plain_authority),
                    client: about,
                }
            }
        }
    }
}

// === impl Own ===

impl Own {
    fn new(ip: IpAddr, authority: Option<&Authority>, proto: Proto) -> Option<Self> {
        // What an IPv4 address, a usual host and the rest of it have room in.
        let mut text = BytesMut::with_capacity(96);
        let node = write_element(&mut text, Some(ip), authority, Some(proto));
        let element = text.freeze();
        // INVARIANT: addresses are visible ASCII, and so is what `framing` lets pass of an authority.
        let value = |text: Bytes| HeaderValue::from_maybe_shared(text).ok();
        Some(Self { node: value(element.slice(node))?, element: value(element)? })
    }
}

// === impl Proto ===

impl Proto {
    fn parse(text: &str) -> Option<Self> {
        ["http", "https", "ws", "wss"].into_iter().find(|known| known.eq_ignore_ascii_case(text)).map(Self)
    }
}

/// The items of the lists called `name`, last first. Fields are in order, and so are the items inside.
fn backwards<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','))
        .map(|item| std::str::from_utf8(item).map(str::trim).unwrap_or_default())
}

fn nth_or_last<'a>(items: impl Iterator<Item = &'a str>, place: usize) -> Option<&'a str> {
    items.take(place + 1).last()
}

/// The value of one parameter of a `Forwarded` element.
fn parameter<'a>(element: &'a str, wanted: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// Writes one element of `Forwarded`, and returns where in `text` the address stands.
fn write_element(
    text: &mut BytesMut,
    node: Option<IpAddr>,
    host: Option<&Authority>,
    proto: Option<Proto>,
) -> Range<usize> {
    let (open, close) = match node {
        Some(IpAddr::V6(_)) => ("for=\"[", "]\""),
        _ => ("for=", ""),
    };
    text.extend_from_slice(open.as_bytes());
    let start = text.len();
    match node {
        Some(IpAddr::V4(ip)) => write_octets(text, ip),
        // Memory is all that could fail it.
        Some(IpAddr::V6(ip)) => drop(write!(text, "{ip}")),
        None => text.extend_from_slice(b"unknown"),
    }
    let node = start..text.len();
    text.extend_from_slice(close.as_bytes());
    // INVARIANT: authorities here are plain (`framing`), and need no escape inside the quotes.
    if let Some(host) = host {
        for part in [";host=\"", host.as_str(), "\""] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    if let Some(Proto(proto)) = proto {
        for part in [";proto=", proto] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    node
}

/// What `Display` writes of an address, which goes through a text of its own to be padded.
fn write_octets(text: &mut BytesMut, ip: Ipv4Addr) {
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            text.put_u8(b'.');
        }
        if octet >= 100 {
            text.put_u8(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.put_u8(b'0' + octet / 10 % 10);
        }
        text.put_u8(b'0' + octet % 10);
    }
}

/// The same, for a list of them.
fn element(node: Option<IpAddr>, host: Option<&Authority>, proto: Option<Proto>) -> BytesMut {
    let mut text = BytesMut::new();
    write_element(&mut text, node, host, proto);
    text
}

fn parse_node(node: &str) -> Option<IpAddr> {
    if let Ok(ip) = node.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if let Ok(addr) = node.parse::<SocketAddr>() {
        return Some(addr.ip().to_canonical());
    }
    let inside = node.strip_prefix('[')?.strip_suffix(']')?;
    inside.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// All fields called `name` as one list; bytes stay as they are.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    values.join(b", ".as_slice())
}

fn append(mut list: Vec<u8>, item: &[u8]) -> Vec<u8> {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(item);
    list
}

/// `list` with `item` at its end.
fn added(list: Vec<u8>, item: HeaderValue) -> HeaderValue {
    if list.is_empty() {
        return item;
    }
    // It is made of header values and of what `framing` let pass.
    HeaderValue::from_maybe_shared(Bytes::from(append(list, item.as_bytes()))).unwrap_or(item)
}

#[cfg(test)]
mod tests;
