//! JSON bodies.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{missing_field, pointer};
use crate::problem::{Code, Problem};

/// The contract's limit for JSON bodies.
pub const BODY_LIMIT: usize = 64 * 1024;

/// A whole body has to be here after this: 64 KiB take no longer on any link that works, and a body that
/// trickles in holds a connection and a task.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body: 415 for another type, 413 above [`BODY_LIMIT`], 400 for bytes that are no JSON, 422 with a
/// pointer for JSON that is not a `T`.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct Json<T>(pub T);

/// Like [`Json`], but no body at all is `T::default()`: for requests whose body is optional.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct JsonOrDefault<T>(pub T);

// === impl Json ===

impl<T: DeserializeOwned> Json<T> {
    /// Reads `T` from bytes.
    ///
    /// # Errors
    ///
    /// 400 or 422, as above.
    pub fn from_bytes(bytes: &[u8]) -> Result<T, Problem> {
        let malformed = || Problem::new(Code::MALFORMED_BODY, "the body is no JSON");
        let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
        // First as a whole: a fault of type must not hide that the rest is no JSON at all.
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| malformed())?;
        if text.trim_start().starts_with('[') {
            // Serde would take a list for a struct: its fields in their order.
            return Err(Problem::invalid("", "must be an object"));
        }
        if has_nul(text) {
            // PostgreSQL cannot store U+0000 in text, and nobody means it.
            return Err(Problem::invalid("", "no text may contain U+0000"));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let at = pointer(error.path());
            let inner = error.into_inner();
            let message = inner.to_string();
            // JSON it is: where an enum stands, serde_json calls any other kind of value a fault of syntax.
            if !inner.is_data() && !message.starts_with("expected value") {
                return malformed();
            }
            let detail = message.split(" at line ").next().unwrap_or_default().to_owned();
            match missing_field(&detail) {
                Some(name) => Problem::invalid(format!("{at}/{name}"), "is missing"),
                None => Problem::invalid(at, detail),
            }
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(unsupported());
        }
        Self::from_bytes(&read(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for JsonOrDefault<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let typed = request.headers().contains_key(CONTENT_TYPE);
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if typed && !json {
            return Err(unsupported());
        }
        Json::from_bytes(&bytes).map(Self)
    }
}

fn unsupported() -> Problem {
    Problem::new(Code::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
}

fn too_large() -> Problem {
    Problem::new(Code::BODY_TOO_LARGE, "a JSON body may have 64 KiB")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read<S: Send + Sync>(mut request: Request, state: &S) -> Result<Bytes, Problem> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(too_large());
    }
    // The limit goes with the extractor: routes with larger bodies (avatars) stream theirs.
    axum::extract::DefaultBodyLimit::apply(axum::extract::DefaultBodyLimit::max(BODY_LIMIT), &mut request);
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) => Err(refusal(&rejection)),
        Err(_) => Err(Problem::new(Code::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

fn refusal(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        too_large()
    } else {
        Problem::new(Code::MALFORMED_BODY, "the body broke off")
    }
}

/// Whether the JSON text holds the escape of U+0000; a backslash before it may itself be escaped.
fn has_nul(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with("u0000") {
            return true;
        }
        // Steps over the escaped character, which may be a backslash.
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}
