//! How a sign-in or a renewal is answered: the refresh token in a cookie, or in the body.

use axum::Json;
use axum::response::{IntoResponse, Response};
use contracts::UserChanged;
use http::header::{CACHE_CONTROL, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tramline_session_sync::cookie::RefreshCookie;
use tramline_session_sync::{Device, Grant, SessionView};

use super::me::UserView;

/// How the refresh token travels.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// In a cookie that no script can read.
    #[default]
    Cookie,
    /// In the body, for programs.
    Body,
}

/// The device, as a client describes it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct DeviceBody {
    pub(crate) id: Option<String>,
    name: Option<String>,
    kind: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GrantView {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserView>,
    access_token: String,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    session: SessionView,
}

impl DeviceBody {
    /// A client that tells nothing of its device gets one drawn.
    pub(crate) fn into_device(self) -> Device {
        Device::new(self.id.as_deref(), self.name.as_deref(), self.kind.as_deref())
    }
}

/// The answer, with the refresh token in this cookie, else in the body; `user` is told at sign-in and not at
/// renewal.
pub(crate) fn answer(
    status: StatusCode,
    grant: Grant,
    user: Option<&UserChanged>,
    cookie: Option<RefreshCookie>,
) -> Response {
    let life = Duration::from_secs(grant.refresh_expires_in);
    let set = cookie.map(|cookie| cookie.set(&grant.refresh_token, life));
    let view = GrantView {
        user: user.map(UserView::from),
        access_token: grant.access_token,
        expires_in: grant.expires_in,
        refresh_token: cookie.is_none().then_some(grant.refresh_token),
        session: grant.session,
    };
    let mut response = (status, Json(view)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(set) = set {
        response.headers_mut().append(SET_COOKIE, set);
    }
    response
}

/// The cookie of the page that asks: told by its origin, or by the proxy that took the request.
pub(crate) fn cookie_for(headers: &HeaderMap) -> RefreshCookie {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (headers.get(ORIGIN).and_then(|value| value.to_str().ok()), text("x-forwarded-proto")) {
        (Some(origin), _) => RefreshCookie::for_origin(origin),
        (None, Some("https")) => RefreshCookie::Secure,
        (None, _) => RefreshCookie::Loopback,
    }
}
