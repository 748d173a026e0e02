//! The routes of `/api/admin`, for admins only.

mod audit;
mod dashboard;
mod users;

use axum::Router;
use axum::routing::{delete, get, post, put};
use chassis::auth::not_implemented_for_admin as later;

use crate::store::Store;

/// All routes. Those that come later refuse strangers first and then say that they are not built.
pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .route("/api/admin/users", get(users::list))
        .route("/api/admin/users/{id}", get(users::find))
        .route("/api/admin/audit-logs", get(audit::list))
        .route("/api/admin/audit-logs/actions", get(audit::actions))
        .route("/api/admin/audit-logs/verify", get(later))
        .route("/api/admin/dashboard", get(dashboard::dashboard))
        .route("/api/admin/config", get(later))
        .route("/api/admin/config/{key}", put(later))
        .route("/api/admin/dead-letters", get(later))
        .route("/api/admin/dead-letters/redrive", post(later))
        .route("/api/admin/dead-letters/{id}", get(later).merge(delete(later)))
        .with_state(store)
}
