//! The request's id, as the request-id layer left it.

use axum::extract::FromRequestParts;
use http::header::HeaderName;
use http::request::Parts;
use http::{Extensions, HeaderMap};

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// An extractor: the id of the request, which is also the correlation id of the events it causes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct CorrelationId(pub Option<String>);

/// The id that the layer settled on, or a valid one from the header.
pub(crate) fn of(_extensions: &Extensions, headers: &HeaderMap) -> Option<String> {
    headers.get(HEADER).and_then(|v| v.to_str().ok()).filter(|id| is_valid(id)).map(str::to_owned)
}

fn is_valid(id: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=128).contains(&id.len()) && id.bytes().all(good)
}

impl<S: Sync> FromRequestParts<S> for CorrelationId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(of(&parts.extensions, &parts.headers)))
    }
}
