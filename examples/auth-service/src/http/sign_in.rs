//! `POST /register` and `/login`.

use std::net::IpAddr;

use axum::extract::State as Shared;
use axum::response::Response;
use chassis::client_addr::ClientAddr;
use chassis::extract::Json;
use chassis::origin::Origin;
use chassis::problem::{Code, Problem};
use contracts::{Role, UserChanged, UserStatus};
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tramline_session_sync::{ClientInfo, User};

use super::State;
use super::grant::{DeviceBody, Transport, answer, cookie_for};
use crate::account::{NewAccount, busy};
use crate::journal;
use crate::store::{Credentials, folded};

/// Whatever else the body says, such as a role, is ignored.
#[derive(Deserialize)]
pub(crate) struct Register {
    email: String,
    password: String,
    name: String,
    device: Option<DeviceBody>,
    transport: Option<Transport>,
}

#[derive(Deserialize)]
pub(crate) struct Login {
    email: String,
    password: String,
    device: Option<DeviceBody>,
    transport: Option<Transport>,
}

pub(crate) async fn register(
    Shared(state): Shared<State>,
    ClientAddr(addr): ClientAddr,
    origin: Origin,
    headers: HeaderMap,
    Json(body): Json<Register>,
) -> Result<Response, Problem> {
    let account = NewAccount::parse(&body.email, &body.name, body.password)?;
    state.issuer.sessions()?;
    let user = account.create(&state.store, &state.passwords, Role::Customer, &origin).await?;
    open(&state, StatusCode::CREATED, &user, body.device, body.transport, addr, &origin, &headers).await
}

pub(crate) async fn login(
    Shared(state): Shared<State>,
    ClientAddr(addr): ClientAddr,
    origin: Origin,
    headers: HeaderMap,
    Json(body): Json<Login>,
) -> Result<Response, Problem> {
    state.issuer.sessions()?;
    let account = folded(&body.email);
    state.attempts.begin(&account, addr).await.map_err(|too_many| {
        Problem::with_status(
            StatusCode::TOO_MANY_REQUESTS,
            Code::TOO_MANY_ATTEMPTS,
            "too many failed sign-ins",
        )
        .retry_after(too_many.retry_after.as_secs().max(1))
    })?;
    let user = match prove(&state, &body.email, &body.password).await {
        Ok(user) => user,
        Err(problem) => {
            // A fault of ours, or a right password, is no failed attempt.
            if problem.code() != Code::INVALID_CREDENTIALS {
                state.attempts.withdraw(&account, addr).await;
            }
            return Err(problem);
        }
    };
    state.attempts.succeeded(&account, addr).await;
    open(&state, StatusCode::OK, &user, body.device, body.transport, addr, &origin, &headers).await
}

/// The user whose e-mail and password these are. An unknown e-mail costs and says the same as a wrong password.
async fn prove(state: &State, email: &str, password: &str) -> Result<UserChanged, Problem> {
    let wrong = || Problem::new(Code::INVALID_CREDENTIALS, "the e-mail or the password is wrong");
    let Some(Credentials { user, phc }) = state.store.by_email(email).await? else {
        state.passwords.verify_dummy(password).await.map_err(|error| busy(&error))?;
        return Err(wrong());
    };
    if !state.passwords.verify(password, &phc).await.map_err(|error| busy(&error))? {
        return Err(wrong());
    }
    if user.status != UserStatus::Active {
        return Err(Problem::new(Code::ACCOUNT_SUSPENDED, "the account is suspended"));
    }
    Ok(user)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one request, taken apart by two handlers")]
async fn open(
    state: &State,
    status: StatusCode,
    user: &UserChanged,
    device: Option<DeviceBody>,
    transport: Option<Transport>,
    addr: IpAddr,
    origin: &Origin,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let sessions = state.issuer.sessions()?;
    let device = device.unwrap_or_default().into_device();
    let opening = sessions.open(session_user(user), device, client(addr, headers));
    let (grant, ended) = journal::within(origin, opening).await;
    let grant = grant.map_err(|error| failed(&error))?;
    // One session too many makes room.
    state.committed(ended);
    let cookie = (transport.unwrap_or_default() == Transport::Cookie).then(|| cookie_for(headers));
    Ok(answer(status, grant, Some(user), cookie))
}

pub(super) fn client(addr: IpAddr, headers: &HeaderMap) -> ClientInfo {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    ClientInfo::new(Some(&addr.to_string()), agent)
}

pub(super) fn failed(error: &tramline_session_sync::Error) -> Problem {
    tracing::warn!(%error, source = ?std::error::Error::source(error), "the sessions could not be changed");
    if error.is_retryable() {
        Problem::unavailable("the sessions are away or busy")
    } else {
        Problem::internal()
    }
}

pub(super) fn session_user(user: &UserChanged) -> User {
    User::new(user.user_id.to_string(), &user.email, &user.name, user.role.as_str())
}
