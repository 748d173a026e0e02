//! The routes of `/api/auth`.

mod grant;
mod me;
mod refresh;
mod sessions;
mod sign_in;
mod well_known;

use axum::Router;
use axum::routing::{delete, get, post, put};
use chassis::auth::{Auth, not_implemented, not_implemented_for_admin, not_implemented_for_anyone};
use tramline_session_sync::attempts::Attempts;
use tramline_session_sync::cookie::Origins;
use tramline_session_sync::password::Passwords;
use tramline_session_sync::revocation::RevocationEntry;
use tramline_session_sync::tickets::Tickets;
use tramline_streaming_proxy::layer::rate_limit::Limiter;

use crate::issuer::Issuer;
use crate::journal::Ended;
use crate::store::Store;

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) issuer: Issuer,
    pub(crate) auth: Auth,
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Attempts,
    pub(crate) tickets: Option<Tickets>,
    pub(crate) origins: Origins,
    /// Renewals per session.
    pub(crate) renewals: Limiter,
}

impl State {
    /// After a commit of the sessions': the events go out, and the tokens of sessions that ended are refused here
    /// at once; elsewhere when the event arrives.
    pub(crate) fn committed(&self, ended: Vec<Ended>) {
        self.issuer.wake();
        let Ok(sessions) = self.issuer.sessions() else { return };
        let entry =
            |end: Ended| RevocationEntry::session(end.user, end.session, end.at, sessions.tokens_end(end.at));
        self.auth.revocations().apply_snapshot(ended.into_iter().map(entry));
    }
}

/// All routes. Those that come later refuse strangers first and then say that they are not built.
pub(crate) fn router(state: State) -> Router {
    let users =
        get(not_implemented_for_admin).patch(not_implemented_for_admin).delete(not_implemented_for_admin);
    let built = Router::new()
        .route("/register", post(sign_in::register))
        .route("/login", post(sign_in::login))
        .route("/refresh", post(refresh::refresh))
        .route("/logout", post(sessions::logout))
        .route("/me", get(me::read).patch(me::rename))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", delete(sessions::revoke))
        .route("/sessions/revoke-others", post(sessions::revoke_others))
        .route("/ws-ticket", post(sessions::ticket));
    let later = Router::new()
        .route("/me/password", put(not_implemented))
        .route("/password-reset", post(not_implemented_for_anyone))
        .route("/password-reset/confirm", post(not_implemented_for_anyone))
        .route("/activity", get(not_implemented))
        .route("/users", get(not_implemented_for_admin))
        .route("/users/{id}", users)
        .route("/users/{id}/unlock", post(not_implemented_for_admin))
        .route("/keys/rotate", post(not_implemented_for_admin));
    // At the root as well: other processes reach this one without the gateway.
    let well_known = Router::new()
        .route("/.well-known/jwks.json", get(well_known::jwks))
        .route("/.well-known/revocations", get(well_known::revocations));
    Router::new()
        .nest("/api/auth", built.merge(later).merge(well_known.clone()))
        .merge(well_known)
        .with_state(state)
}
