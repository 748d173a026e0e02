//! What other processes need to check tokens: the public keys, and what was revoked.

use axum::Json;
use axum::extract::State as Shared;
use chassis::problem::Problem;
use chassis::revocations::RevocationSnapshot;
use http::header::{CACHE_CONTROL, HeaderName};
use tramline_session_sync::Jwks;

use super::State;
use super::sign_in::failed;

/// A new key is published a minute before it signs; half of that is safe to keep.
const KEYS_KEPT: &str = "public, max-age=30";

pub(crate) async fn jwks(
    Shared(state): Shared<State>,
) -> Result<([(HeaderName, &'static str); 1], Json<Jwks>), Problem> {
    let keys = state.issuer.sessions()?.keys().jwks().await;
    Ok(([(CACHE_CONTROL, KEYS_KEPT)], Json(keys)))
}

pub(crate) async fn revocations(Shared(state): Shared<State>) -> Result<Json<RevocationSnapshot>, Problem> {
    let revocations = state.issuer.sessions()?.revoked_snapshot().await.map_err(|error| failed(&error))?;
    Ok(Json(RevocationSnapshot { revocations }))
}
