//! Tests of [`Certificates`].

use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

use super::*;
use crate::error::ErrorKind;

fn made(names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let Made { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn certificate(names: &[&str]) -> Certificate {
    let (chain, key) = made(names);
    Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

#[test]
fn what_cannot_be_served_is_refused() {
    let (chain, key) = made(&["a.example"]);
    let (_, other) = made(&["a.example"]);
    let garbled = chain.replace("MII", "!!!");
    for (what, chain, key) in [
        ("no certificate", "", key.as_str()),
        ("no key", chain.as_str(), ""),
        ("a key for a certificate", key.as_str(), key.as_str()),
        ("another's key", chain.as_str(), other.as_str()),
        ("garbled", garbled.as_str(), key.as_str()),
    ] {
        let error = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{what}");
    }
    assert!(Certificates::new([]).is_err());
}

#[test]
fn an_exact_name_is_found_before_a_wildcard_and_the_first_of_equals() {
    let wild = certificate(&["*.example.com"]);
    let exact = certificate(&["A.example.com"]);
    let second = certificate(&["a.example.com", "b.example.org"]);
    let all = Certificates::new([wild.clone(), exact.clone(), second.clone()]).unwrap();
    let is = |name: &str, wanted: &Certificate| {
        all.find(name).is_some_and(|found| Arc::ptr_eq(&found.key, &wanted.key))
    };
    assert!(is("a.example.com", &exact));
    assert!(is("x.example.com", &wild));
    assert!(is("b.example.org", &second));
    for name in ["example.com", "x.y.example.com", "elsewhere.example"] {
        assert!(all.find(name).is_none(), "{name}");
    }
}

#[test]
fn keys_are_not_shown() {
    let (chain, key) = made(&["a.example"]);
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(format!("{certificate:?}"), "Certificate { names: {\"a.example\"}, .. }");
}
