//! The codes of the contract.

use http::StatusCode;
use serde::Serialize;

/// A stable, upper-case code. Clients act on it, so it never changes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Code(&'static str);

macro_rules! codes {
    ($($name:ident $status:ident $doc:literal;)*) => {
        impl Code {
            $(#[doc = $doc] pub const $name: Self = Self(stringify!($name));)*

            /// The status that goes with it.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self.0 {
                    $(stringify!($name) => StatusCode::$status,)*
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                }
            }
        }
    };
}

codes! {
    MALFORMED_BODY BAD_REQUEST "The body is no JSON.";
    BAD_REQUEST BAD_REQUEST "The request makes no sense otherwise.";
    UNAUTHENTICATED UNAUTHORIZED "No token, or one that is not ours.";
    TOKEN_EXPIRED UNAUTHORIZED "The token's time is over: renew it.";
    TOKEN_REVOKED UNAUTHORIZED "The token's session or user has ended.";
    INVALID_CREDENTIALS UNAUTHORIZED "Wrong e-mail or password.";
    INVALID_REFRESH UNAUTHORIZED "The refresh token is not ours, or over.";
    REFRESH_REUSED UNAUTHORIZED "The refresh token was used before: the session ends.";
    FORBIDDEN FORBIDDEN "The role does not allow it.";
    ACCOUNT_SUSPENDED FORBIDDEN "The account is suspended.";
    NOT_FOUND NOT_FOUND "Nothing here, or not yours to see.";
    METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED "The path has other methods.";
    REQUEST_TIMEOUT REQUEST_TIMEOUT "The request did not arrive in time.";
    CONFLICT CONFLICT "It does not fit what is there.";
    EMAIL_TAKEN CONFLICT "The e-mail has an account.";
    LAST_ADMIN CONFLICT "There must be an admin.";
    INVALID_TRANSITION CONFLICT "The state does not lead there.";
    IDEMPOTENCY_IN_FLIGHT CONFLICT "The first request with this key still runs.";
    BODY_TOO_LARGE PAYLOAD_TOO_LARGE "The body is above the limit.";
    UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "The body's type is not taken here.";
    VALIDATION UNPROCESSABLE_ENTITY "A value does not meet the rules.";
    IDEMPOTENCY_MISMATCH UNPROCESSABLE_ENTITY "The key was used with another body.";
    UNKNOWN_RECIPIENT UNPROCESSABLE_ENTITY "Nobody has this e-mail or id.";
    SELF_PAYMENT UNPROCESSABLE_ENTITY "Sender and recipient are the same.";
    UPGRADE_REQUIRED UPGRADE_REQUIRED "A WebSocket is spoken here.";
    RATE_LIMITED TOO_MANY_REQUESTS "Too many requests.";
    TOO_MANY_ATTEMPTS TOO_MANY_REQUESTS "Too many failed sign-ins.";
    INTERNAL INTERNAL_SERVER_ERROR "A fault of ours.";
    NOT_IMPLEMENTED NOT_IMPLEMENTED "Not built yet.";
    BAD_GATEWAY BAD_GATEWAY "The upstream did not answer properly.";
    UNAVAILABLE SERVICE_UNAVAILABLE "Something needed is away for now.";
    GATEWAY_TIMEOUT GATEWAY_TIMEOUT "The upstream did not answer in time.";
}

impl Code {
    /// The code as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The problem's `type`: a name, not a place.
    pub(super) fn uri(self) -> String {
        format!("urn:tramline:problem:{}", self.0.to_ascii_lowercase().replace('_', "-"))
    }

    /// The `WWW-Authenticate` of a 401 (RFC 6750).
    pub(super) const fn challenge(self) -> &'static str {
        match self.0.as_bytes() {
            b"TOKEN_EXPIRED" | b"TOKEN_REVOKED" => "Bearer realm=\"tramline\", error=\"invalid_token\"",
            _ => "Bearer realm=\"tramline\"",
        }
    }
}

/// The code and sentence of an answer that only has a status: a rejection of the framework's.
pub(super) fn of_status(status: StatusCode) -> (Code, &'static str) {
    match status {
        StatusCode::UNAUTHORIZED => (Code::UNAUTHENTICATED, "a valid access token is needed"),
        StatusCode::FORBIDDEN => (Code::FORBIDDEN, "your role does not allow this"),
        StatusCode::NOT_FOUND => (Code::NOT_FOUND, "there is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => (Code::METHOD_NOT_ALLOWED, "this path does not take the method"),
        StatusCode::REQUEST_TIMEOUT => (Code::REQUEST_TIMEOUT, "the request did not arrive in time"),
        StatusCode::CONFLICT => (Code::CONFLICT, "the request does not fit what is there"),
        StatusCode::PAYLOAD_TOO_LARGE => (Code::BODY_TOO_LARGE, "the body is above the limit"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (Code::UNSUPPORTED_MEDIA_TYPE, "this path does not take the body's type")
        }
        StatusCode::UNPROCESSABLE_ENTITY => (Code::VALIDATION, "the request does not meet the rules"),
        StatusCode::UPGRADE_REQUIRED => (Code::UPGRADE_REQUIRED, "a WebSocket is spoken here"),
        StatusCode::TOO_MANY_REQUESTS => (Code::RATE_LIMITED, "too many requests"),
        StatusCode::NOT_IMPLEMENTED => (Code::NOT_IMPLEMENTED, "this is not built yet"),
        StatusCode::BAD_GATEWAY => (Code::BAD_GATEWAY, "the service did not answer properly"),
        StatusCode::SERVICE_UNAVAILABLE => (Code::UNAVAILABLE, "the service is not ready"),
        StatusCode::GATEWAY_TIMEOUT => (Code::GATEWAY_TIMEOUT, "the service did not answer in time"),
        other if other.is_client_error() => (Code::BAD_REQUEST, "the request makes no sense here"),
        _ => (Code::INTERNAL, "something went wrong on our side"),
    }
}
