//! Path parameters.

use axum::extract::{FromRequestParts, Path as AxumPath};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Path parameters as a `T`; what does not parse (an id that is no UUID) names nothing, which is 404.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct Path<T>(pub T);

// === impl Path ===

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // `%00` would reach the database as text it cannot hold.
        if parts.uri.path().contains("%00") {
            return Err(Problem::not_found());
        }
        match AxumPath::<T>::from_request_parts(parts, state).await {
            Ok(AxumPath(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status().is_server_error() => {
                // The route has other parameters than the handler asks for: a fault of ours.
                tracing::error!(error = %rejection, "the path's parameters do not fit the handler");
                Err(Problem::internal())
            }
            Err(_) => Err(Problem::not_found()),
        }
    }
}
