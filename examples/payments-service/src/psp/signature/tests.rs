//! Tests of the provider's signature.

use super::*;

const SECRET: &[u8] = b"secret";

#[test]
fn a_signature_counts_for_its_body_secret_and_window_only() {
    let header = sign(SECRET, 1_000, b"{}");
    assert_eq!(verify(SECRET, &header, b"{}", 1_000), Ok(()));
    assert_eq!(verify(SECRET, &header, b"{}", 1_300), Ok(()));
    assert_eq!(verify(SECRET, &header, b"{}", 700), Ok(()));
    assert_eq!(verify(SECRET, &header, b"{}", 1_301), Err(BadSignature::OutsideWindow));
    assert_eq!(verify(SECRET, &header, b"{}", 699), Err(BadSignature::OutsideWindow));
    assert_eq!(verify(SECRET, &header, b"{ }", 1_000), Err(BadSignature::Mismatch));
    assert_eq!(verify(b"other", &header, b"{}", 1_000), Err(BadSignature::Mismatch));
}

#[test]
fn the_time_is_signed_too() {
    let header = sign(SECRET, 1_000, b"{}").replace("t=1000", "t=1001");
    assert_eq!(verify(SECRET, &header, b"{}", 1_000), Err(BadSignature::Mismatch));
}

#[test]
fn a_header_that_is_none_is_malformed() {
    for header in ["", "t=1", "v1=00", "nonsense", "t=x,v1=00", "t=1,v1=zz", "t=1,v1"] {
        assert_eq!(verify(SECRET, header, b"", 1), Err(BadSignature::Malformed), "{header:?}");
    }
}

#[test]
fn a_rotated_secret_is_one_of_several() {
    let new = sign(SECRET, 5, b"x");
    let old = sign(b"old", 5, b"x");
    let both = format!("{old},{}", new.split_once(',').unwrap().1);
    assert_eq!(verify(SECRET, &both, b"x", 5), Ok(()));
}

/// Known answer, computed with another implementation, so that both sides cannot drift together.
#[test]
fn the_digest_is_hmac_sha256_of_time_dot_body() {
    assert_eq!(
        sign(b"key", 1_700_000_000, b"{\"a\":1}"),
        "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    );
}
