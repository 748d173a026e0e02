//! `X-Forwarded-For/Proto/Host` and `Forwarded` (RFC 7239).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::trust::{Peer, TrustedProxies};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Writes this hop's forwarding headers into a request from `peer` for `authority`.
///
/// From a trusted peer they are added to; from any other, whatever it claimed is removed first, and so are the
/// twins with underscores, which some upstreams cannot tell apart.
pub(crate) fn apply(
    headers: &mut HeaderMap,
    peer: Option<&Peer>,
    authority: Option<&Authority>,
    trusted: &TrustedProxies,
) {
    let believed = peer.is_some_and(|peer| trusted.contains(peer.addr.ip()));
    remove_claims(headers, believed);
    let Some(peer) = peer else { return };
    let ip = peer.addr.ip().to_canonical();
    let proto = if peer.tls { "https" } else { "http" };

    append(headers, &X_FORWARDED_FOR, &ip.to_string());
    let mut element = match ip {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    };
    if let Some(authority) = authority {
        // INVARIANT: `framing::check` let only characters pass that need no escape inside the quotes.
        let _ = write!(element, ";host=\"{authority}\"");
        if !headers.contains_key(X_FORWARDED_HOST)
            && let Ok(value) = HeaderValue::from_str(authority.as_str())
        {
            headers.insert(X_FORWARDED_HOST, value);
        }
    }
    let _ = write!(element, ";proto={proto}");
    append(headers, &FORWARDED, &element);
    let known = headers
        .get(X_FORWARDED_PROTO)
        .is_some_and(|value| matches!(value.as_bytes(), b"http" | b"https" | b"ws" | b"wss"));
    if !known {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
}

/// The addresses that forwarding headers name, nearest first; `None` for what is not an address.
pub(crate) fn hops(headers: &HeaderMap) -> Box<dyn Iterator<Item = Option<IpAddr>> + '_> {
    let backwards = |name: &HeaderName| {
        // Fields are in order, and so are the items inside: both must be read from the end.
        headers
            .get_all(name)
            .iter()
            .rev()
            .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','))
            .map(|item| std::str::from_utf8(item).map(str::trim).unwrap_or_default())
    };
    if headers.contains_key(X_FORWARDED_FOR) {
        Box::new(backwards(&X_FORWARDED_FOR).map(parse_node))
    } else {
        Box::new(backwards(&FORWARDED).map(|element| {
            element.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then(|| parse_node(value.trim().trim_matches('"')))?
            })
        }))
    }
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

fn remove_claims(headers: &mut HeaderMap, believed: bool) {
    let claims: Vec<HeaderName> =
        headers.keys().filter(|name| is_claim(name.as_str(), believed)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Whether `name` says where a request comes from and must go. A trusted peer's own spelling stays.
fn is_claim(name: &str, believed: bool) -> bool {
    const CLAIMS: &[&str] =
        &["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"];
    let first = name.as_bytes().first();
    if !matches!(first, Some(b'x' | b'f' | b't')) {
        return false;
    }
    if believed {
        return name.contains('_') && is_claim(&name.replace('_', "-"), false);
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

/// Joins what is there with `item`, so that one field is left; bytes stay as they are.
fn append(headers: &mut HeaderMap, name: &HeaderName, item: &str) {
    let mut joined = Vec::with_capacity(64);
    for value in headers.get_all(name) {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(item.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(name.clone(), value);
    }
}

#[cfg(test)]
mod tests;
