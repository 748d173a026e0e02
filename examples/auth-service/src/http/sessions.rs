//! Sessions: sign-out, the list, ending one or the others, and tickets for sockets.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use chassis::auth::{User, refusal};
use chassis::extract::Path;
use chassis::origin::Origin;
use chassis::page::{Page, PageRequest};
use chassis::problem::Problem;
use http::header::{AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use tramline_session_sync::cookie::RefreshCookie;
use tramline_session_sync::tickets::Ticket;
use tramline_session_sync::{Reason, SessionView, TokenError};
use uuid::Uuid;

use super::State;
use super::grant::cookie_for;
use super::refresh::of_our_page;
use super::sign_in::failed;
use crate::journal;

/// The list's name in its cursors.
const LIST: &str = "sessions";

#[derive(Debug, Serialize)]
pub(crate) struct Revoked {
    revoked: u64,
}

/// The bearer token says which session ends. Without one the cookie does, when one of our pages sent it: a page
/// whose access token is gone can sign out, too.
pub(crate) async fn logout(
    user: Result<User, Problem>,
    Shared(state): Shared<State>,
    origin: Origin,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (user, session) = match user {
        Ok(user) => (user.claims.sub.clone(), user.session_id().to_owned()),
        Err(refusal) if headers.contains_key(AUTHORIZATION) => return Err(refusal),
        Err(refusal) => {
            let Some((_, token)) = of_our_page(&state, &headers)? else { return Err(refusal) };
            let owner = state.issuer.sessions()?.session_of(token).await;
            owner.map_err(|error| failed(&error))?.ok_or(refusal)?
        }
    };
    end(&state, &user, &session, Reason::Logout, &origin).await?;
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

pub(crate) async fn list(
    user: User,
    page: PageRequest,
    Shared(state): Shared<State>,
) -> Result<Page<SessionView>, Problem> {
    let after: Option<(Timestamp, String)> = page.after(LIST)?;
    let sessions = state.issuer.sessions()?;
    let listed = sessions.list(&user.claims.sub, Some(user.session_id())).await;
    // The library bounds how many there are; the parts are cut here.
    let mut listed = listed.map_err(|error| failed(&error))?;
    let key = |session: &SessionView| (session.last_seen_at, session.id.clone());
    listed.sort_by_key(|session| std::cmp::Reverse(key(session)));
    listed.retain(|session| after.as_ref().is_none_or(|after| key(session) < *after));
    Ok(Page::new(&page, LIST, listed, key))
}

pub(crate) async fn revoke(
    user: User,
    Shared(state): Shared<State>,
    Path(id): Path<Uuid>,
    origin: Origin,
) -> Result<StatusCode, Problem> {
    if end(&state, &user.claims.sub, &id.to_string(), Reason::Revoked, &origin).await? {
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
    let (revoked, ended) = journal::within(&origin, ending).await;
    let revoked = revoked.map_err(|error| failed(&error))?;
    state.committed(ended);
    Ok(Json(Revoked { revoked }))
}

pub(crate) async fn ticket(user: User, Shared(state): Shared<State>) -> Result<Json<Ticket>, Problem> {
    let Some(tickets) = &state.tickets else {
        return Err(Problem::unavailable("tickets need Redis, which this system has not"));
    };
    if user.claims.expires_at() <= Timestamp::now() {
        // A token is believed a moment longer than it lives, for clocks that differ; a ticket is not made of it.
        return Err(refusal(TokenError::Expired));
    }
    let keys = state.issuer.sessions()?.keys();
    let ticket = tickets.issue(&user.claims, keys).await.map_err(|error| failed(&error))?;
    Ok(Json(ticket))
}

/// Ends a session of the user's. `false`: they have none of that id.
async fn end(
    state: &State,
    user: &str,
    session: &str,
    reason: Reason,
    origin: &Origin,
) -> Result<bool, Problem> {
    let ending = state.issuer.sessions()?.revoke(user, session, reason);
    let (done, ended) = journal::within(origin, ending).await;
    let done = done.map_err(|error| failed(&error))?;
    state.committed(ended);
    Ok(done)
}
