//! Query parameters.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::missing_field;
use crate::problem::Problem;

/// Query parameters as a `T`: 422 with the pointer `?name` for what does not parse. Unknown parameters are
/// ignored, and so are empty ones (`?status=`), which forms send for «any».
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct Query<T>(pub T);

// === impl Query ===

impl<T: DeserializeOwned> Query<T> {
    /// Reads `T` from a query string.
    ///
    /// # Errors
    ///
    /// 422, as above.
    pub fn from_text(query: &str) -> Result<T, Problem> {
        let pairs: Vec<_> =
            url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()).collect();
        if let Some((name, _)) = pairs.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Problem::invalid(format!("?{name}"), "must not contain U+0000"));
        }
        // Written once more: the deserializer takes a parser, not pairs.
        let kept = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let parsed = url::form_urlencoded::parse(kept.as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(parsed)).map_err(|error| {
            let at = error.path().to_string();
            let message = error.into_inner().to_string();
            match missing_field(&message) {
                Some(name) => Problem::invalid(format!("?{name}"), "is missing"),
                None => Problem::invalid(format!("?{at}"), message),
            }
        })
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::from_text(parts.uri.query().unwrap_or_default()).map(Self)
    }
}
