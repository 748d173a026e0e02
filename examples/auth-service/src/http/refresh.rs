//! `POST /refresh`.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use chassis::client_addr::ClientAddr;
use chassis::extract::JsonOrDefault;
use chassis::origin::Origin;
use chassis::problem::{Code, Problem};
use contracts::UserStatus;
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tramline_session_sync::cookie::RefreshCookie;
use tramline_session_sync::{BoxError, ClientInfo, RefreshError, User};

use super::State;
use super::grant::{DeviceBody, answer};
use super::sign_in::{client, failed, session_user};
use crate::journal;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refresh {
    refresh_token: Option<String>,
    device: Option<DeviceBody>,
}

/// A refresh token as it came, and the cookie it came in, if it did.
struct Presented {
    token: String,
    cookie: Option<RefreshCookie>,
}

pub(crate) async fn refresh(
    Shared(state): Shared<State>,
    ClientAddr(addr): ClientAddr,
    origin: Origin,
    headers: HeaderMap,
    JsonOrDefault(body): JsonOrDefault<Refresh>,
) -> Result<Response, Problem> {
    let presented = presented(&state, &headers, body.refresh_token)?;
    let session = state.issuer.sessions()?.session_of(&presented.token).await;
    // A token that belongs to no session has none to count for: the gateway counts its address.
    let decision = match session.map_err(|error| failed(&error))? {
        Some((_, session)) => Some(state.renewals.check(&session).await),
        None => None,
    };
    let mut response = if decision.as_ref().is_none_or(|decision| decision.is_allowed()) {
        let device = body.device.and_then(|device| device.id);
        Box::pin(renew(&state, presented, device.as_deref(), client(addr, &headers), &origin)).await
    } else {
        Problem::new(Code::RATE_LIMITED, "too many renewals of this session").into_response()
    };
    if let Some(decision) = decision {
        decision.write(response.headers_mut());
    }
    Ok(response)
}

/// What the body says comes first: a program that names a token means it.
fn presented(state: &State, headers: &HeaderMap, body: Option<String>) -> Result<Presented, Problem> {
    if let Some(token) = body {
        return Ok(Presented { token, cookie: None });
    }
    let (cookie, token) = of_our_page(state, headers)?.ok_or_else(invalid)?;
    Ok(Presented { token: token.to_owned(), cookie: Some(cookie) })
}

/// The refresh cookie, which the browser sends by itself: so the page behind it must be one of ours.
pub(super) fn of_our_page<'h>(
    state: &State,
    headers: &'h HeaderMap,
) -> Result<Option<(RefreshCookie, &'h str)>, Problem> {
    let cookies = [RefreshCookie::Secure, RefreshCookie::Loopback];
    let found = cookies.into_iter().find_map(|cookie| Some((cookie, cookie.read(headers)?)));
    if found.is_some() {
        let forbidden = |fault: tramline_session_sync::cookie::OriginFault| {
            Problem::new(Code::FORBIDDEN, fault.to_string())
        };
        state.origins.check(headers).map_err(forbidden)?;
    }
    Ok(found)
}

async fn renew(
    state: &State,
    Presented { token, cookie }: Presented,
    device: Option<&str>,
    client: ClientInfo,
    origin: &Origin,
) -> Response {
    let store = state.store.clone();
    let lookup = async move |user_id: String| -> Result<Option<User>, BoxError> {
        let user = store.find(user_id.parse()?).await?;
        Ok(user.filter(|user| user.status == UserStatus::Active).as_ref().map(session_user))
    };
    let sessions = match state.issuer.sessions() {
        Ok(sessions) => sessions,
        Err(error) => return Problem::from(error).into_response(),
    };
    // On the heap: a renewal is more than this handler should carry along.
    let renewing = Box::pin(sessions.refresh(&token, device, client, lookup));
    let (renewed, ended) = journal::within(origin, renewing).await;
    let refusal = match renewed {
        Ok(grant) => return answer(StatusCode::OK, grant, None, cookie),
        Err(RefreshError::Invalid) => invalid(),
        Err(RefreshError::Reused { .. }) => {
            // Decided and committed: the session has ended, and its access tokens with it.
            state.committed(ended);
            Problem::new(Code::REFRESH_REUSED, "the refresh token was used before; the session has ended")
        }
        Err(RefreshError::Failed(error)) => return failed(&error).into_response(),
        Err(error) => {
            tracing::error!(%error, "a renewal was refused for a reason that is not known here");
            invalid()
        }
    };
    let mut response = refusal.into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie.clear());
    }
    response
}

fn invalid() -> Problem {
    Problem::new(Code::INVALID_REFRESH, "the refresh token is not valid")
}
