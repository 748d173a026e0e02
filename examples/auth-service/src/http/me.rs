//! `GET` and `PATCH /me`.

use axum::Json as Answer;
use axum::extract::State as Shared;
use chassis::auth::User;
use chassis::extract::Json;
use chassis::origin::Origin;
use chassis::problem::Problem;
use chassis::validate::Faults;
use contracts::{Role, UserChanged, UserStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::State;
use crate::account;

/// A user as they see themselves; a hash is not even in reach here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    id: Uuid,
    email: String,
    name: String,
    role: Role,
    status: UserStatus,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rename {
    name: String,
}

pub(crate) async fn read(user: User, Shared(state): Shared<State>) -> Result<Answer<UserView>, Problem> {
    let user = state.store.seen(user.id).await?.ok_or_else(Problem::unauthenticated)?;
    Ok(Answer(UserView::from(&*user)))
}

pub(crate) async fn rename(
    user: User,
    Shared(state): Shared<State>,
    origin: Origin,
    Json(body): Json<Rename>,
) -> Result<Answer<UserView>, Problem> {
    let mut faults = Faults::new();
    let name = account::name(&mut faults, &body.name);
    faults.finish()?;
    let user = state.store.rename(user.id, &name, &origin).await?.ok_or_else(Problem::unauthenticated)?;
    Ok(Answer(UserView::from(&user)))
}

impl From<&UserChanged> for UserView {
    fn from(user: &UserChanged) -> Self {
        Self {
            id: user.user_id,
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role,
            status: user.status,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}
