//! Fields that say of a request what only this proxy, or a front that it trusts, can know.

use http::{HeaderMap, HeaderName};

use crate::headers::hop;

/// Whole names. Whoever may write them is believed by some upstream: where a request comes from, what was asked for
/// before a front rewrote it, and who the client is.
const CLAIMS: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    // RFC 9440, 4: a proxy that does not write them must remove them.
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    // What CGI makes of it, `HTTP_PROXY`, sends the upstream's own requests elsewhere (httpoxy).
    "proxy",
    "proxy-client-ip",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-coming-from",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-path",
    "x-host",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];

/// How other such names begin.
const PREFIXES: &[&str] = &["x-forwarded", "x-original-", "ssl-client-", "x-ssl-client-"];

/// Whether a field called `name` is removed from a request, whoever sent it: a claim, or a name with underscores that an
/// upstream may take for a claim, or for a field with a meaning here. To CGI and its heirs `X_Request_Id` is
/// `X-Request-Id`.
pub(crate) fn is_unwanted(name: &str) -> bool {
    if !name.as_bytes().contains(&b'_') {
        return is_claim(name);
    }
    let name = name.replace('_', "-");
    is_claim(&name) || hop::is_protected(&name) || hop::ends_here(&name)
}

fn is_claim(name: &str) -> bool {
    // Nearly all names are none, and most of them by their first letters.
    let may_be = matches!(
        name.as_bytes(),
        [b'c', b'f' | b'l', ..]
            | [b'f', b'a' | b'o' | b'r', ..]
            | [b'p' | b't', b'r', ..]
            | [b's', b's', ..]
            | [b'w', b'l', ..]
            | [b'x', b'-', ..]
    );
    may_be && (CLAIMS.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Removes what [`is_unwanted`], but for what is in `believed`.
pub(crate) fn remove(headers: &mut HeaderMap, believed: &[HeaderName]) {
    let unwanted = |name: &&HeaderName| is_unwanted(name.as_str()) && !believed.contains(name);
    let unwanted: Vec<HeaderName> = headers.keys().filter(unwanted).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}
