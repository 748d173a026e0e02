//! Fields that end at this hop (RFC 9110, 7.6.1), and the names in `Connection`.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::ProxyError;
use crate::headers::scan::{Scan, Seen};

/// How many names one message may nominate in `Connection`. Real clients nominate two.
const MAX_NOMINATIONS: usize = 16;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes from a request what ends here, and returns whether it said `TE: trailers`.
pub(crate) fn strip_request(headers: &mut HeaderMap, scan: Scan) -> Result<bool, ProxyError> {
    let trailers =
        scan.has(Seen::Te) && tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
    if strip(headers, scan) > MAX_NOMINATIONS {
        return Err(ProxyError::bad_request("too many names in Connection"));
    }
    Ok(trailers)
}

/// Removes from an answer what ends here.
pub(crate) fn strip_response(headers: &mut HeaderMap, scan: Scan) {
    // RFC 9112, 6.3: with both, the length is a lie; hyper's client read the chunks.
    if scan.has(Seen::Coding) {
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, scan);
}

/// Removes from trailers what ends here, or steers what has begun long ago.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers, Scan::of(trailers));
    for name in [&EXPECT, &MAX_FORWARDS, &PROXY_AUTHENTICATE, &PROXY_AUTHORIZATION, &TRAILER] {
        trailers.remove(name);
    }
}

/// Whether `Connection` has the option `upgrade`, and the one protocol that `Upgrade` names then.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<&HeaderValue> {
    if !tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return None;
    }
    let mut values = headers.get_all(UPGRADE).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The comma-separated items of all fields called `name`, trimmed, empty ones left out.
pub(crate) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Whether a field called `name` is about this hop only, `Connection` aside.
///
/// `Trailer` is not: what it announces comes through.
pub(crate) fn ends_here(name: &str) -> bool {
    // In one place with `strip`, which removes these.
    matches!(
        name,
        "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Removes the hop-by-hop fields and the nominated ones; returns how many names were nominated.
fn strip(headers: &mut HeaderMap, scan: Scan) -> usize {
    let mut count = 0;
    if scan.has(Seen::Connection) {
        let nominated: Vec<HeaderName> = tokens(headers, &CONNECTION)
            .inspect(|_| count += 1)
            // What nearly all of them say names a field that goes anyway.
            .filter(|token| !token.eq_ignore_ascii_case(b"keep-alive"))
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .filter(|name| !is_protected(name.as_str()))
            .collect();
        for name in nominated {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if scan.has(Seen::Hop) {
        for name in [&KEEP_ALIVE, &PROXY_AUTHENTICATE, &PROXY_AUTHORIZATION, &PROXY_CONNECTION, &UPGRADE] {
            headers.remove(name);
        }
    }
    if scan.has(Seen::Coding) {
        headers.remove(TRANSFER_ENCODING);
    }
    if scan.has(Seen::Te) {
        headers.remove(TE);
    }
    count
}

/// Fields that a client must not make this proxy drop by nominating them: they say what the message is, who sent
/// it, or were added by a layer in front of this one.
pub(crate) fn is_protected(name: &str) -> bool {
    const PROTECTED: &[&str] = &[
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "set-cookie",
        "traceparent",
        "tracestate",
        "via",
        "x-real-ip",
        "x-request-id",
    ];
    PROTECTED.contains(&name) || name.starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests;
