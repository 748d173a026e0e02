//! Problem answers (RFC 9457): the one file that turns errors into HTTP statuses.

mod code;
mod layer;

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

pub use self::code::Code;
pub use self::layer::{catch_panic, problems};

/// The media type of every error answer.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error answer: a status, a stable code, a sentence.
///
/// Return it from a handler as `Err(Problem::not_found())`; [`problems`] adds the request's
/// path and id.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

/// A fault in one place of a body or query.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FieldError {
    /// A JSON pointer (`/amount`), or `?name` for a query parameter.
    pub pointer: Cow<'static, str>,
    /// What is wrong there.
    pub detail: Cow<'static, str>,
}

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    headers: HeaderMap,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

// === impl Problem ===

impl Problem {
    /// A problem with `code`'s usual status.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::with_status(code.status(), code, detail)
    }

    /// A problem with another status than `code`'s usual one.
    pub fn with_status(status: StatusCode, code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut headers = HeaderMap::new();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(code.challenge()));
        }
        Self(Box::new(Inner { status, code, detail: detail.into(), errors: Vec::new(), headers }))
    }

    /// 422 `VALIDATION` with what is wrong where.
    #[must_use]
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(Code::VALIDATION, "the request does not meet the rules");
        problem.0.errors = errors;
        problem
    }

    /// 422 `VALIDATION` about one place.
    pub fn invalid(pointer: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::validation(vec![FieldError::new(pointer, detail)])
    }

    /// 404 `NOT_FOUND`.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NOT_FOUND, "there is nothing here, or it is not yours to see")
    }

    /// 403 `FORBIDDEN`.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(Code::FORBIDDEN, "your role does not allow this")
    }

    /// 401 `UNAUTHENTICATED`.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(Code::UNAUTHENTICATED, "a valid access token is needed")
    }

    /// 503 `UNAVAILABLE`, to be tried again after a second.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::UNAVAILABLE, detail).retry_after(1)
    }

    /// 500 `INTERNAL`. The reason belongs into the log, not here.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Code::INTERNAL, "something went wrong on our side")
    }

    /// 501 `NOT_IMPLEMENTED`.
    #[must_use]
    pub fn not_implemented() -> Self {
        Self::new(Code::NOT_IMPLEMENTED, "this is part of the contract, but not built yet")
    }

    /// 409 with a code of its row.
    pub fn conflict(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::with_status(StatusCode::CONFLICT, code, detail)
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds where it is wrong.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.errors.push(FieldError::new(pointer, detail));
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong where.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The body, as JSON text.
    #[must_use]
    pub fn to_json(&self, instance: Option<&str>, request_id: Option<&str>) -> String {
        let wire = Wire {
            r#type: self.0.code.uri(),
            title: self.0.status.canonical_reason().unwrap_or("Error"),
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            instance,
            code: self.0.code,
            request_id,
            errors: &self.0.errors,
        };
        serde_json::to_string(&wire).expect("texts and numbers always serialise")
    }

    /// The answer with the request's path and id in it.
    #[must_use]
    pub fn render(&self, instance: Option<&str>, request_id: Option<&str>) -> Response {
        let mut response = Response::new(Body::from(self.to_json(instance, request_id)));
        *response.status_mut() = self.0.status;
        response.headers_mut().extend(self.0.headers.clone());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }

    /// The problem of a foreign answer that only has a status.
    fn from_status(status: StatusCode) -> Self {
        let (code, detail) = code::of_status(status);
        Self::with_status(status, code, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render(None, None);
        // `problems` renders it again, with the path and id that are unknown here.
        response.extensions_mut().insert(self);
        response
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.0.status.as_u16(), self.0.code.as_str(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

// === impl FieldError ===

impl FieldError {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// Headers of a foreign answer that stay when its body is replaced.
const KEPT: [HeaderName; 3] = [ALLOW, RETRY_AFTER, WWW_AUTHENTICATE];

#[cfg(test)]
mod tests;
