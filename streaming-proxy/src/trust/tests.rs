//! Tests of [`TrustedProxies`].

use http::HeaderValue;

use super::*;

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn the_first_stranger_from_the_end_is_the_client() {
    let trusted: TrustedProxies = "10.0.0.0/8,::1,".parse().unwrap();
    let ten = "10.0.0.1".parse().unwrap();
    for (fields, client) in [
        (vec![], "10.0.0.1"),
        (vec![("x-forwarded-for", "1.1.1.1")], "1.1.1.1"),
        (vec![("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.9.9.9")], "1.1.1.1"),
        (vec![("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.1.1.1,10.9.9.9")], "1.1.1.1"),
        (vec![("x-forwarded-for", "1.1.1.1:4711")], "1.1.1.1"),
        (vec![("x-forwarded-for", "[2001:db8::1]:4711")], "2001:db8::1"),
        (vec![("x-forwarded-for", "::ffff:1.1.1.1")], "1.1.1.1"),
        (vec![("x-forwarded-for", "10.0.0.7, 10.0.0.8")], "10.0.0.7"),
        // What does not parse ends it at what is known.
        (vec![("x-forwarded-for", "1.1.1.1, unknown, 10.0.0.8")], "10.0.0.8"),
        (vec![("x-forwarded-for", "")], "10.0.0.1"),
        // The other family is not what these write.
        (vec![("forwarded", "for=6.6.6.6")], "10.0.0.1"),
    ] {
        assert_eq!(trusted.client(&headers(&fields), ten).to_string(), client, "{fields:?}");
    }
    let trusted = trusted.with_family(ForwardedFamily::Forwarded);
    for (fields, client) in [
        (
            vec![("forwarded", "for=6.6.6.6, For=\"[2001:db8::1]:1\";proto=https, for=10.0.0.2")],
            "2001:db8::1",
        ),
        (vec![("forwarded", "for=_hidden, for=10.0.0.2")], "10.0.0.2"),
        (vec![("x-forwarded-for", "6.6.6.6")], "10.0.0.1"),
    ] {
        assert_eq!(trusted.client(&headers(&fields), ten).to_string(), client, "{fields:?}");
    }
}

#[test]
fn a_stranger_is_itself_and_a_mapped_address_is_its_own() {
    let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let fields = headers(&[("x-forwarded-for", "1.1.1.1")]);
    assert_eq!(trusted.client(&fields, "9.9.9.9".parse().unwrap()).to_string(), "9.9.9.9");
    assert_eq!(trusted.client(&fields, "::ffff:10.0.0.1".parse().unwrap()).to_string(), "1.1.1.1");
    assert!(TrustedProxies::loopback().contains("127.0.0.9".parse().unwrap()));
    assert!(TrustedProxies::loopback().contains("::1".parse().unwrap()));
}

#[test]
fn nobody_has_two_spellings() {
    for text in ["", " none ", ","] {
        assert!(!text.parse::<TrustedProxies>().unwrap().contains("127.0.0.1".parse().unwrap()), "{text:?}");
    }
    assert!("none, ::1".parse::<TrustedProxies>().is_err());
}

#[test]
fn what_is_no_network_is_an_error() {
    for text in ["10.0.0.0/33", "localhost", "10.0.0.1 10.0.0.2"] {
        assert_eq!(text.parse::<TrustedProxies>().unwrap_err().kind(), crate::ErrorKind::Config, "{text}");
    }
}
