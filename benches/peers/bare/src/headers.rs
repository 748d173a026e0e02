//! The header work that every proxy of the measurement does, and no more.

use std::net::IpAddr;

use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Of this hop alone; `Connection` is looked at before.
const OF_THIS_HOP: [HeaderName; 7] =
    [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, UPGRADE];

/// A request: fields of this hop removed, `X-Forwarded-For` appended to, `-Proto` and `-Host` set.
pub fn request(headers: &mut HeaderMap, peer: IpAddr) {
    remove_hop_by_hop(headers);
    let peer = peer.to_string();
    let all = match headers.get(FORWARDED_FOR).and_then(|before| before.to_str().ok()) {
        Some(before) => format!("{before}, {peer}"),
        None => peer,
    };
    if let Ok(all) = HeaderValue::try_from(all) {
        headers.insert(FORWARDED_FOR, all);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// An answer: fields of this hop removed.
pub fn response(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.remove(TRANSFER_ENCODING);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(nominated) = headers.remove(CONNECTION)
        && let Ok(nominated) = nominated.to_str()
    {
        for name in nominated.split(',').map(str::trim) {
            if !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close") {
                headers.remove(name);
            }
        }
    }
    for name in OF_THIS_HOP {
        headers.remove(name);
    }
}
