//! The routes of `/api/profile`.

use axum::extract::State as Shared;
use axum::routing::{get, put};
use axum::{Json as Answer, Router};
use chassis::auth::{User, not_implemented, not_implemented_for_anyone};
use chassis::extract::Json;
use chassis::origin::Origin;
use chassis::problem::Problem;
use tracing::Instrument;

use crate::domain::{Change, Known, Profile};
use crate::store::{self, Store};

/// All routes. Those that come later refuse strangers first and then say that they are not built.
pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .route("/api/profile", get(read).put(write))
        .route("/api/profile/", get(read).put(write))
        .route("/api/profile/preferences", get(not_implemented).patch(not_implemented))
        .route("/api/profile/avatar", put(not_implemented).delete(not_implemented))
        .route("/api/profile/avatar/{user}", get(not_implemented_for_anyone))
        .with_state(store)
}

async fn read(user: User, Shared(store): Shared<Store>) -> Result<Answer<Profile>, Problem> {
    // A user whose creation has not arrived yet has told nothing of themselves yet.
    match store.find(user.id).await? {
        Known::Profile(profile) => Ok(Answer(profile)),
        Known::Purged => Err(Problem::not_found()),
        Known::Nothing => {
            let now = store::now();
            let (phone, address, bio) = (None, None, None);
            Ok(Answer(Profile { user_id: user.id, phone, address, bio, created_at: now, updated_at: now }))
        }
    }
}

async fn write(
    user: User,
    Shared(store): Shared<Store>,
    origin: Origin,
    Json(change): Json<Change>,
) -> Result<Answer<Profile>, Problem> {
    let change = change.parse()?;
    // A task of its own: a client that goes away after the commit must not leave the old profile in the cache, since no
    // event of ours comes by here.
    let work = async move { store.change(user.id, &user.claims.email, change, &origin).await };
    let profile = tokio::spawn(work.in_current_span()).await.map_err(|_| Problem::internal())??;
    profile.map(Answer).ok_or_else(Problem::not_found)
}
