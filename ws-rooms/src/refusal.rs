//! A refused upgrade, as a value.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

/// Why a socket was not opened. The caller renders it as a problem document.
///
/// The codes are the ones of the system's HTTP problems, so that one page explains both.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// 401, 403, 426, 429 or 503.
    pub status: StatusCode,
    /// A stable code in upper snake case.
    pub code: &'static str,
    /// A sentence for people; holds nothing secret.
    pub detail: Cow<'static, str>,
    /// What `Retry-After` should say.
    pub retry_after: Option<Duration>,
}

// === impl Refusal ===

impl Refusal {
    /// No credential, or none that is good: 401 `UNAUTHENTICATED`.
    #[must_use]
    pub const fn unauthenticated() -> Self {
        Self::fixed(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "a valid access token is needed")
    }

    /// The token was good once: 401 `TOKEN_EXPIRED`. The client renews and comes again.
    #[must_use]
    pub const fn token_expired() -> Self {
        Self::fixed(StatusCode::UNAUTHORIZED, "TOKEN_EXPIRED", "the access token has expired")
    }

    /// The session was ended: 401 `TOKEN_REVOKED`.
    #[must_use]
    pub const fn token_revoked() -> Self {
        Self::fixed(StatusCode::UNAUTHORIZED, "TOKEN_REVOKED", "the session has been ended")
    }

    /// The origin or the user may not connect: 403 `FORBIDDEN`.
    #[must_use]
    pub const fn forbidden(detail: &'static str) -> Self {
        Self::fixed(StatusCode::FORBIDDEN, "FORBIDDEN", detail)
    }

    /// Too many connections: 429 `RATE_LIMITED`.
    #[must_use]
    pub const fn rate_limited(detail: &'static str) -> Self {
        let mut refusal = Self::fixed(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail);
        // Slots free up when a tab closes: there is no better guess than «not at once».
        refusal.retry_after = Some(Duration::from_secs(5));
        refusal
    }

    /// Not now: 503 `UNAVAILABLE`, with `Retry-After`.
    #[must_use]
    pub const fn unavailable(detail: &'static str, retry_after: Duration) -> Self {
        let mut refusal = Self::fixed(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail);
        refusal.retry_after = Some(retry_after);
        refusal
    }

    /// Not a WebSocket handshake of a version we speak: 426 `UPGRADE_REQUIRED`.
    #[must_use]
    pub const fn upgrade_required(detail: &'static str) -> Self {
        Self::fixed(StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED", detail)
    }

    /// Whether the same request may be granted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The headers that belong to this answer: `Retry-After`, `WWW-Authenticate`, or those of 426.
    pub fn apply_headers(&self, headers: &mut http::HeaderMap) {
        use http::HeaderValue;
        use http::header;
        if let Some(after) = self.retry_after {
            // Rounded up: «0» would invite the herd back at once.
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, value);
            }
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
    }

    const fn fixed(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, code, detail: Cow::Borrowed(detail), retry_after: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.detail)
    }
}

impl std::error::Error for Refusal {}
