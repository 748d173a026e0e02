//! Sessions: sign-out, the list, ending one or the others, and tickets for sockets.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use chassis::auth::User;
use chassis::extract::Path;
use chassis::origin::Origin;
use chassis::page::Page;
use chassis::problem::Problem;
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use tramline_session_sync::cookie::RefreshCookie;
use tramline_session_sync::revocation::RevocationEntry;
use tramline_session_sync::tickets::Ticket;
use tramline_session_sync::{Reason, SessionView};
use uuid::Uuid;

use super::State;
use super::grant::cookie_for;
use super::sign_in::failed;
use crate::journal;

#[derive(Debug, Serialize)]
pub(crate) struct Revoked {
    revoked: u64,
}

pub(crate) async fn logout(
    user: User,
    Shared(state): Shared<State>,
    origin: Origin,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    end(&state, &user, user.session_id(), Reason::Logout, &origin).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    // The one that the page has; without any, the one that it would have.
    let held: Vec<_> = [RefreshCookie::Secure, RefreshCookie::Loopback]
        .into_iter()
        .filter(|cookie| cookie.read(&headers).is_some())
        .collect();
    let cleared = if held.is_empty() { vec![cookie_for(&headers)] } else { held };
    for cookie in cleared {
        response.headers_mut().append(SET_COOKIE, cookie.clear());
    }
    Ok(response)
}

pub(crate) async fn list(user: User, Shared(state): Shared<State>) -> Result<Page<SessionView>, Problem> {
    let sessions = state.issuer.sessions()?;
    let listed = sessions.list(&user.claims.sub, Some(user.session_id())).await;
    Ok(Page::whole(listed.map_err(|error| failed(&error))?))
}

pub(crate) async fn revoke(
    user: User,
    Shared(state): Shared<State>,
    Path(id): Path<Uuid>,
    origin: Origin,
) -> Result<StatusCode, Problem> {
    if end(&state, &user, &id.to_string(), Reason::Revoked, &origin).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        // Another's, or none: which of them is nobody's business.
        Err(Problem::not_found())
    }
}

pub(crate) async fn revoke_others(
    user: User,
    Shared(state): Shared<State>,
    origin: Origin,
) -> Result<Json<Revoked>, Problem> {
    let sessions = state.issuer.sessions()?;
    let ending = sessions.revoke_others(&user.claims.sub, user.session_id());
    let revoked = journal::within(&origin, ending).await.map_err(|error| failed(&error))?;
    state.issuer.wake();
    Ok(Json(Revoked { revoked }))
}

pub(crate) async fn ticket(user: User, Shared(state): Shared<State>) -> Result<Json<Ticket>, Problem> {
    let Some(tickets) = &state.tickets else {
        return Err(Problem::unavailable("tickets need Redis, which this system has not"));
    };
    let keys = state.issuer.sessions()?.keys();
    let ticket = tickets.issue(&user.claims, keys).await.map_err(|error| failed(&error))?;
    Ok(Json(ticket))
}

/// Ends a session of the user's. Its tokens are refused here at once; elsewhere when the event arrives.
async fn end(
    state: &State,
    user: &User,
    session: &str,
    reason: Reason,
    origin: &Origin,
) -> Result<bool, Problem> {
    let sessions = state.issuer.sessions()?;
    let ending = sessions.revoke(&user.claims.sub, session, reason);
    let ended = journal::within(origin, ending).await.map_err(|error| failed(&error))?;
    if ended {
        state.issuer.wake();
        let now = Timestamp::now();
        let entry = RevocationEntry::session(&user.claims.sub, session, now, sessions.tokens_end(now));
        if let Err(error) = state.auth.revocations().apply(entry).await {
            tracing::warn!(%error, "the revocation is known here, and elsewhere once its event arrives");
        }
    }
    Ok(ended)
}
