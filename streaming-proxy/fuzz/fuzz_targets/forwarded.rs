//! Whatever a request claims about its way: of a stranger nothing is believed, of a trusted front what it writes, and
//! both families tell the next one the same.
//!
//! The first byte has the circumstances, and the lines after it are fields.
#![no_main]

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tramline_streaming_proxy::fuzzing::write_forwarded;
use tramline_streaming_proxy::{ForwardedFamily, Peer, TrustedProxies};

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const FORWARDED: &str = "forwarded";

/// Names that say where a request comes from, in one of their spellings.
const CLAIMS: &[&str] = &[
    FORWARDED,
    FOR,
    PROTO,
    HOST,
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((flags, lines)) = bytes.split_first() else { return };
    let flag = |bit: u8| flags & (1 << bit) != 0;
    let peer = Peer::new(if flag(0) { "[2001:db8::9]:1" } else { "10.0.0.9:1" }.parse().expect("an address"));
    let trusted: TrustedProxies =
        if flag(1) { "10.0.0.0/8, 2001:db8::/32" } else { "none" }.parse().expect("networks");
    let family = if flag(2) { ForwardedFamily::Forwarded } else { ForwardedFamily::XForwarded };
    let trusted = if flag(3) { trusted.without_host() } else { trusted }.with_family(family);
    let authority: Authority = "shop.example:81".parse().expect("an authority");
    let authority = if flag(4) { None } else { Some(&authority) };

    let before = fields(lines);
    let mut after = before.clone();
    write_forwarded(&mut after, &peer, authority, &trusted);

    let said = |name: &str| {
        let mut values = after.get_all(name).iter();
        let value = values.next().map(HeaderValue::as_bytes);
        assert!(values.next().is_none(), "{name} twice: {after:?}");
        value
    };
    for name in after.keys().map(HeaderName::as_str) {
        let plain = name.replace('_', "-");
        assert!(name == plain || !CLAIMS.contains(&plain.as_str()), "{name} is left: {after:?}");
        assert!(
            !plain.starts_with("x-forwarded") || [FOR, PROTO, HOST].contains(&name),
            "{name} is left: {after:?}"
        );
    }
    for name in before.keys().filter(|name| {
        let plain = name.as_str().replace('_', "-");
        // What is no claim, and no field that a proxy writes about itself.
        !CLAIMS.contains(&plain.as_str()) && !plain.starts_with("x-forwarded") && plain.starts_with("x-other")
    }) {
        assert!(after.get_all(name).iter().eq(before.get_all(name).iter()), "{name} is changed: {after:?}");
    }
    let proto = said(PROTO).expect("a protocol");
    assert!([&b"http"[..], b"https", b"ws", b"wss"].contains(&proto), "{after:?}");
    if let Some(host) = said(HOST) {
        assert!(
            host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]~".contains(byte)),
            "{after:?}"
        );
    }
    let (chain, forwarded) = (said(FOR).expect("a way"), said(FORWARDED).expect("a way"));

    // The next one, which trusts this one and whom this one trusts, finds the client that this one finds.
    let own = if flag(0) { "2001:db8::/32" } else { "10.0.0.0/8" };
    let next: TrustedProxies =
        if flag(1) { "10.0.0.0/8, 2001:db8::/32" } else { "192.0.2.1" }.parse().expect("networks");
    let this = if flag(1) { peer.addr.ip() } else { "192.0.2.1".parse().expect("an address") };
    let client = trusted.client(&before, peer.addr.ip());
    let real = client.to_string();
    assert_eq!(said("x-real-ip"), Some(real.as_bytes()), "{before:?} became {after:?}");
    for family in [ForwardedFamily::XForwarded, ForwardedFamily::Forwarded] {
        let found = next.clone().with_family(family).client(&after, this);
        assert_eq!(found, client, "{family:?}, ours {own}: {before:?} became {after:?}");
    }

    let elements = elements(forwarded);
    let ours = elements.as_ref().and_then(|elements| elements.last());
    if !flag(1) || !flag(2) {
        // All of it is this proxy's own writing.
        let elements = elements.as_ref().unwrap_or_else(|| panic!("no Forwarded: {after:?}"));
        let count = if flag(1) { before.get_all(FOR).iter().map(items).sum() } else { 0 };
        assert_eq!(elements.len(), count + 1, "an element more or less: {before:?} became {after:?}");
    }
    if !flag(1) {
        assert_eq!(chain, peer.addr.ip().to_string().as_bytes(), "{after:?}");
        assert_eq!(proto, b"http", "{after:?}");
    }
    if let Some(ours) = ours {
        let node = if flag(0) { "[2001:db8::9]" } else { "10.0.0.9" };
        let of = |wanted: &str| ours.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(of("for"), Some(node), "{after:?}");
        assert_eq!(of("proto"), Some("http"), "{after:?}");
        assert_eq!(of("host"), authority.map(Authority::as_str), "{after:?}");
    }
});

fn fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            fields.append(name, value);
        }
    }
    fields
}

fn items(value: &HeaderValue) -> usize {
    value.as_bytes().split(|byte| *byte == b',').count()
}

/// `Forwarded` by the grammar of RFC 7239, 4, and nothing else.
fn elements(value: &[u8]) -> Option<Vec<Vec<(String, String)>>> {
    let mut rest = std::str::from_utf8(value).ok()?;
    let mut elements = vec![Vec::new()];
    loop {
        let (name, tail) = token(rest)?;
        let tail = tail.strip_prefix('=')?;
        let (value, tail) = match tail.strip_prefix('"') {
            // Nothing that this proxy quotes needs an escape.
            Some(quoted) => {
                let (value, tail) = quoted.split_once('"')?;
                (value.bytes().all(|byte| byte != b'\\' && !byte.is_ascii_control()).then_some(value)?, tail)
            }
            None => token(tail)?,
        };
        elements.last_mut()?.push((name.to_ascii_lowercase(), value.to_owned()));
        rest = match tail.strip_prefix(';') {
            Some(tail) => tail,
            None if tail.is_empty() => return Some(elements),
            None => {
                elements.push(Vec::new());
                tail.strip_prefix(", ")?
            }
        };
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.bytes().position(|byte| !is_token(&byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}
