//! The request's id, as the request-id layer left it.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap};
use tramline_observability::correlation::{RequestId, X_REQUEST_ID};

/// An extractor: the id of the request, which is also the correlation id of the events it causes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct CorrelationId(pub Option<String>);

/// The id that the layer settled on; without the layer, a good one from the header.
pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap) -> Option<String> {
    let from_header = || RequestId::parse(headers.get(X_REQUEST_ID)?.to_str().ok()?);
    let id = extensions.get::<RequestId>().cloned().or_else(from_header)?;
    Some(id.as_str().to_owned())
}

impl<S: Sync> FromRequestParts<S> for CorrelationId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(of(&parts.extensions, &parts.headers)))
    }
}
