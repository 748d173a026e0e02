//! `X-Forwarded-For/Proto/Host` and `Forwarded` (RFC 7239).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::FORWARDED;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::framing;
use crate::trust::{ForwardedFamily, Peer, TrustedProxies};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a trusted front says of the way that a request has come, in both families.
#[derive(Debug, Default)]
struct Believed {
    /// `X-Forwarded-For`, so far.
    chain: Vec<u8>,
    /// `Forwarded`, so far.
    elements: Vec<u8>,
    proto: Option<Proto>,
    host: Option<Authority>,
}

/// What the client spoke, as forwarding headers name it.
#[derive(Clone, Copy, Debug)]
struct Proto(&'static str);

/// Writes this hop's forwarding headers into a request from `peer` for `authority`.
///
/// All claims are removed first, and so are their twins with underscores, which some upstreams cannot tell apart. Of
/// a trusted peer, what it is known to write is believed: added to in its own family, and told again in the other.
pub(crate) fn apply(
    headers: &mut HeaderMap,
    peer: Option<&Peer>,
    authority: Option<&Authority>,
    trusted: &TrustedProxies,
) {
    let believed = match peer {
        Some(peer) if trusted.contains(peer.addr.ip()) => Believed::read(headers, trusted),
        _ => Believed::default(),
    };
    remove_claims(headers);
    let Some(peer) = peer else { return };
    let ip = peer.addr.ip().to_canonical();
    let own = Proto(if peer.tls { "https" } else { "http" });

    set(headers, X_FORWARDED_FOR, append(believed.chain, &ip.to_string()));
    let element = element(Some(ip), authority, Some(own));
    set(headers, FORWARDED, append(believed.elements, &element));
    if let Some(host) = believed.host.as_ref().or(authority) {
        set(headers, X_FORWARDED_HOST, host.as_str().as_bytes().to_vec());
    }
    let Proto(proto) = believed.proto.unwrap_or(own);
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
    fn read(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let hops = hops(headers, trusted.family());
        // Each front has added one item to each list, so those about the client stand at the same place from the end.
        let client = hops
            .iter()
            .position(|hop| !hop.is_some_and(|ip| trusted.contains(ip)))
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
                Self { chain: joined(headers, &X_FORWARDED_FOR), elements, proto, host }
            }
            ForwardedFamily::Forwarded => {
                let about = backwards(headers, &FORWARDED).nth(client).unwrap_or_default();
                let nodes =
                    hops.iter().rev().map(|hop| hop.map_or("unknown".to_owned(), |ip| ip.to_string()));
                Self {
                    chain: nodes.fold(Vec::new(), |chain, node| append(chain, &node)),
                    elements: joined(headers, &FORWARDED),
                    proto: parameter(about, "proto").and_then(Proto::parse),
                    host: parameter(about, "host").and_then(framing::plain_authority),
                }
            }
        }
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

/// One element of `Forwarded`.
fn element(node: Option<IpAddr>, host: Option<&Authority>, proto: Option<Proto>) -> String {
    let mut element = match node {
        Some(IpAddr::V4(ip)) => format!("for={ip}"),
        Some(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
        None => "for=unknown".to_owned(),
    };
    // INVARIANT: authorities here are plain (`framing`), and need no escape inside the quotes.
    if let Some(host) = host {
        let _ = write!(element, ";host=\"{host}\"");
    }
    if let Some(Proto(proto)) = proto {
        let _ = write!(element, ";proto={proto}");
    }
    element
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

fn remove_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Whether `name` says where a request comes from, in either spelling.
pub(crate) fn is_claim(name: &str) -> bool {
    const CLAIMS: &[&str] =
        &["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"];
    if !matches!(name.as_bytes().first(), Some(b'x' | b'f' | b't')) {
        return false;
    }
    let dashed;
    let name = if name.contains('_') {
        dashed = name.replace('_', "-");
        dashed.as_str()
    } else {
        name
    };
    name.starts_with("x-forwarded") || CLAIMS.contains(&name)
}

/// All fields called `name` as one list; bytes stay as they are.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    values.join(b", ".as_slice())
}

fn append(mut list: Vec<u8>, item: &str) -> Vec<u8> {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(item.as_bytes());
    list
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Vec<u8>) {
    // It is made of header values and of what `framing` let pass.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
