//! How an [`Error`] is answered: the one place where a kind becomes a status.

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode, Uri};

use crate::body::Body;
use crate::error::{Error, ErrorKind};

/// Writes the answer to a request that could not be passed on.
///
/// Implemented for closures. The default, [`Problem`], writes an RFC 9457 body.
pub trait Respond: Send + Sync + 'static {
    /// The answer to `request`, which failed with `error`.
    fn respond(&self, error: &Error, request: &Inbound) -> Response<Body>;
}

/// What remains of a request after it was taken apart: enough to answer it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inbound {
    /// Its method.
    pub method: Method,
    /// Its target as the client wrote it.
    pub uri: Uri,
    /// Its `X-Request-Id`, which an outer layer has checked or made.
    pub request_id: Option<HeaderValue>,
}

/// The default [`Respond`]: `application/problem+json` with `type title status detail instance code requestId`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Problem;

// === impl Problem ===

impl Problem {
    /// The default answers.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Respond for Problem {
    fn respond(&self, error: &Error, request: &Inbound) -> Response<Body> {
        let status = error.status();
        let mut problem = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            // Fixed sentences only: causes name addresses, which are nobody's business outside.
            "detail": error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
            "instance": request.uri.path(),
            "code": error.code(),
        });
        if let Some(id) = request.request_id.as_ref().and_then(|id| id.to_str().ok()) {
            problem["requestId"] = id.into();
        }
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if error.kind() == ErrorKind::BadRequest {
            // What follows on this connection may not be what it seems.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl<F> Respond for F
where
    F: Fn(&Error, &Inbound) -> Response<Body> + Send + Sync + 'static,
{
    fn respond(&self, error: &Error, request: &Inbound) -> Response<Body> {
        self(error, request)
    }
}

// === impl Error ===

impl Error {
    /// The status that says this to the client.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind() {
            ErrorKind::BadRequest | ErrorKind::ClientBody => StatusCode::BAD_REQUEST,
            ErrorKind::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            ErrorKind::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::UriTooLong => StatusCode::URI_TOO_LONG,
            ErrorKind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            ErrorKind::NoRoute => StatusCode::NOT_FOUND,
            ErrorKind::BadResponse | ErrorKind::Closed | ErrorKind::ConnectFailed | ErrorKind::Truncated => {
                StatusCode::BAD_GATEWAY
            }
            ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::ConnectTimeout | ErrorKind::ResponseTimeout | ErrorKind::TotalTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            ErrorKind::BodyTaken | ErrorKind::Config => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code for a problem body.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.status() {
            StatusCode::BAD_REQUEST => "BAD_REQUEST",
            StatusCode::REQUEST_TIMEOUT => "REQUEST_TIMEOUT",
            StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::URI_TOO_LONG => "URI_TOO_LONG",
            StatusCode::MISDIRECTED_REQUEST => "MISDIRECTED",
            StatusCode::BAD_GATEWAY => "BAD_GATEWAY",
            StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
            StatusCode::GATEWAY_TIMEOUT => "GATEWAY_TIMEOUT",
            _ => "INTERNAL",
        }
    }
}
