//! The request id: one name for a request that a person can quote.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id kept from a caller: room for any common scheme, too short to flood a log.
const MAX_LENGTH: usize = 128;

/// A request's id, safe to log and to send: 1–128 of `A-Za-z0-9._-`.
///
/// [`HttpLayer`](crate::HttpLayer) puts it into the request's extensions.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RequestId(Arc<str>);

// === impl RequestId ===

impl RequestId {
    /// Makes a new one, ordered by time (UUID v7).
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// Takes a caller's id if it is a good one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = (1..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        good.then(|| Self(text.into()))
    }

    /// Takes the id in `headers` if there is exactly one and it is good, and makes one otherwise.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let first = values.next().and_then(|value| value.to_str().ok());
        match (first, values.next()) {
            (Some(text), None) => Self::parse(text).unwrap_or_else(Self::generate),
            _ => Self::generate(),
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Sets the header to this id, replacing what is there.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            headers.insert(X_REQUEST_ID, value);
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
