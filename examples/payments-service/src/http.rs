//! The routes of `/api/payments`.

mod change;
mod create;
mod list;
mod recipients;
mod reports;
mod view;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post};
use chassis::auth::{not_implemented, not_implemented_for_admin};
use chassis::config::Secret;
use tokio::sync::Notify;

use crate::store::Store;

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) webhook_secret: Secret,
    /// Wakes the provider simulator, which waits on the other half.
    pub(crate) work: Arc<Notify>,
}

/// All routes. Those that come later refuse strangers first and then say that they are not built.
pub(crate) fn router(state: State) -> Router {
    Router::new()
        .route("/api/payments", post(create::create).get(list::list))
        .route("/api/payments/", post(create::create).get(list::list))
        .route("/api/payments/{id}", get(list::find).patch(not_implemented))
        .route("/api/payments/{id}/cancel", post(change::cancel))
        .route("/api/payments/{id}/status", patch(not_implemented_for_admin))
        .route("/api/payments/reports", get(reports::reports))
        .route("/api/payments/recipients", get(recipients::recipients))
        .route("/api/payments/webhooks/psp", post(webhook::psp))
        .with_state(state)
}
