//! Tests of [`TrustedProxies`].

use super::*;

fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(FORWARDED_FOR, line.parse().unwrap());
    }
    let trusted: TrustedProxies = trusted.parse().unwrap();
    trusted.client(&headers, peer.parse().unwrap()).to_string()
}

#[test]
fn only_what_a_trusted_proxy_wrote_counts() {
    // Nobody is trusted: the header is the client's invention.
    assert_eq!(client("none", "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
    // The right-most address that is not ours; the client wrote the first one itself.
    assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
    assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6", "1.1.1.1"]), "1.1.1.1");
    // An untrusted peer cannot speak for others.
    assert_eq!(client("10.0.0.0/8", "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
    // Nonsense ends the chain.
    assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["1.1.1.1, unknown"]), "10.0.0.1");
    // All trusted: the farthest.
    assert_eq!(client("127.0.0.1", "127.0.0.1", &["127.0.0.1"]), "127.0.0.1");
    assert_eq!(client("127.0.0.1", "::ffff:127.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
    assert_eq!(client("127.0.0.1", "127.0.0.1", &[]), "127.0.0.1");
}

#[test]
fn a_bad_list_is_refused() {
    assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
    assert!("example.com".parse::<TrustedProxies>().is_err());
    assert_eq!("10.1.2.3, ::1".parse::<TrustedProxies>().unwrap().networks().len(), 2);
}
