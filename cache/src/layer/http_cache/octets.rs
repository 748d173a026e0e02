//! Bytes as serde writes them: text where that is asked for and possible.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are mostly text: in JSON `=` and the text, or `#` and base64; elsewhere as they are.
pub(super) struct Octets<T>(pub(super) T);

struct Text;

struct Binary;

// === impl Octets ===

impl<T: AsRef<[u8]>> Serialize for Octets<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.0.as_ref();
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.collect_str(&format_args!("={text}")),
            Err(_) => serializer.collect_str(&format_args!("#{}", STANDARD.encode(bytes))),
        }
    }
}

impl<'de> Deserialize<'de> for Octets<Bytes> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text).map(Self)
        } else {
            deserializer.deserialize_byte_buf(Binary).map(Self)
        }
    }
}

// === impl Visitor ===

impl Visitor<'_> for Text {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`=` and text, or `#` and base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        match text.split_at_checked(1) {
            Some(("=", text)) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Some(("#", text)) => STANDARD.decode(text).map(Bytes::from).map_err(E::custom),
            _ => Err(E::custom("neither text nor base64")),
        }
    }
}

impl Visitor<'_> for Binary {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(bytes.into())
    }
}
