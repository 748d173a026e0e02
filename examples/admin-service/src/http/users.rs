//! `GET /api/admin/users` and `/users/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use chassis::auth::Admin;
use chassis::extract::{Path, Query};
use chassis::page::{Page, PageRequest};
use chassis::problem::Problem;
use contracts::{Role, UserStatus};
use serde::Deserialize;
use uuid::Uuid;

use crate::store::{Store, UserPosition, UserQuery, UserRow};

/// The longest text to search for.
const SEARCH_CHARS: usize = 100;

#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    search: Option<String>,
    role: Option<Role>,
    status: Option<UserStatus>,
}

pub(crate) async fn list(
    _: Admin,
    Shared(store): Shared<Store>,
    Query(filter): Query<Filter>,
    page: PageRequest,
) -> Result<Page<UserRow>, Problem> {
    let name = format!("users {filter:?}");
    let search = filter.search.filter(|search| !search.trim().is_empty());
    if search.as_ref().is_some_and(|search| search.chars().count() > SEARCH_CHARS) {
        return Err(Problem::invalid("?search", "must have at most 100 characters"));
    }
    let after = page.after::<UserPosition>(&name)?;
    let query = UserQuery { search, role: filter.role, status: filter.status, after };
    let rows = store.users(query, page.fetch()).await?;
    Ok(Page::new(&page, &name, rows, |user| UserPosition(user.created_at.as_microsecond(), user.id)))
}

pub(crate) async fn find(
    _: Admin,
    Shared(store): Shared<Store>,
    Path(id): Path<Uuid>,
) -> Result<Json<Arc<UserRow>>, Problem> {
    store.user(id).await?.map(Json).ok_or_else(Problem::not_found)
}
