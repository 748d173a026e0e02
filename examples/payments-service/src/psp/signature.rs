//! The provider's signature: `X-Signature: t=<unix>,v1=<hex hmac-sha256 of "t.body">`.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header that carries the signature.
pub(crate) const HEADER: &str = "x-signature";

/// How far a signature's time may be from ours, either way: the contract's five minutes.
const WINDOW_SECONDS: i64 = 300;

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BadSignature {
    /// Not `t=…,v1=…`.
    Malformed,
    /// Made more than five minutes from now.
    OutsideWindow,
    /// Made with another secret, or over another body.
    Mismatch,
}

/// Signs a body at a time, in seconds since the epoch.
pub(crate) fn sign(secret: &[u8], unix: i64, body: &[u8]) -> String {
    let digest = mac(secret, unix, body).finalize().into_bytes();
    format!("t={unix},v1={}", hex::encode(digest))
}

/// Checks a header against the body as it arrived, byte for byte, in constant time.
pub(crate) fn verify(secret: &[u8], header: &str, body: &[u8], now: i64) -> Result<(), BadSignature> {
    let mut unix = None;
    let mut digests = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) => unix = value.parse::<i64>().ok(),
            // A provider that rotates its secret sends one v1 for each.
            Some(("v1", value)) => digests.extend(hex::decode(value)),
            // Later schemes are for later readers.
            Some(_) => {}
            None => return Err(BadSignature::Malformed),
        }
    }
    let (Some(unix), false) = (unix, digests.is_empty()) else {
        return Err(BadSignature::Malformed);
    };
    if now.saturating_sub(unix).saturating_abs() > WINDOW_SECONDS {
        return Err(BadSignature::OutsideWindow);
    }
    let mac = mac(secret, unix, body);
    if digests.iter().any(|digest| mac.clone().verify_slice(digest).is_ok()) {
        Ok(())
    } else {
        Err(BadSignature::Mismatch)
    }
}

fn mac(secret: &[u8], unix: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(unix.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the signature is missing or malformed",
            Self::OutsideWindow => "the signature is older or newer than five minutes",
            Self::Mismatch => "the signature does not match the body",
        })
    }
}

#[cfg(test)]
mod tests;
