//! How a [`ProxyError`] is answered: the one place where a kind becomes a status.

use std::error::Error as _;
use std::io;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode, Uri};

use crate::body::ProxyBody;
use crate::error::{ErrorKind, ProxyError};
use crate::upstream::resolve::Unresolved;

/// Writes the answer to a request that could not be passed on.
///
/// Implemented for closures. The default, [`Problem`], writes an RFC 9457 body. Fields that every such answer needs
/// are added by [`RespondLayer`](crate::layer::respond::RespondLayer).
pub trait Respond: Send + Sync + 'static {
    /// The answer to `request`, which failed with `error`.
    fn respond(&self, error: &ProxyError, request: &Inbound) -> Response<ProxyBody>;
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
    fn respond(&self, error: &ProxyError, request: &Inbound) -> Response<ProxyBody> {
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
        let mut response = Response::new(ProxyBody::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl<F> Respond for F
where
    F: Fn(&ProxyError, &Inbound) -> Response<ProxyBody> + Send + Sync + 'static,
{
    fn respond(&self, error: &ProxyError, request: &Inbound) -> Response<ProxyBody> {
        self(error, request)
    }
}

// === impl ProxyError ===

impl ProxyError {
    /// The status that says this to the client.
    ///
    /// 499, which nobody is there to read, is nginx's for a client that left.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind() {
            ErrorKind::BadRequest | ErrorKind::ClientBody => StatusCode::BAD_REQUEST,
            ErrorKind::Loop => StatusCode::LOOP_DETECTED,
            ErrorKind::NoRoute => StatusCode::NOT_FOUND,
            ErrorKind::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            ErrorKind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::UriTooLong => StatusCode::URI_TOO_LONG,
            ErrorKind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            ErrorKind::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            ErrorKind::ClientGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            ErrorKind::BodyTaken | ErrorKind::Config => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::BadResponse
            | ErrorKind::Closed
            | ErrorKind::ConnectFailed
            | ErrorKind::TlsFailed
            | ErrorKind::Truncated => StatusCode::BAD_GATEWAY,
            ErrorKind::CircuitOpen | ErrorKind::Overloaded | ErrorKind::Shed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::ConnectTimeout | ErrorKind::ResponseTimeout | ErrorKind::TotalTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
        }
    }

    /// The stable code for a problem body.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.status().as_u16() {
            400 => "BAD_REQUEST",
            404 => "NOT_FOUND",
            405 => "METHOD_NOT_ALLOWED",
            408 => "REQUEST_TIMEOUT",
            413 => "BODY_TOO_LARGE",
            414 => "URI_TOO_LONG",
            421 => "MISDIRECTED",
            431 => "HEAD_TOO_LARGE",
            499 => "CLIENT_GONE",
            502 => "BAD_GATEWAY",
            503 => "UNAVAILABLE",
            504 => "GATEWAY_TIMEOUT",
            508 => "LOOP_DETECTED",
            _ => "INTERNAL",
        }
    }

    /// The error type that says this in `Proxy-Status` (RFC 9209, 2.3).
    pub(crate) fn proxy_status(&self) -> &'static str {
        match self.kind() {
            ErrorKind::BadRequest
            | ErrorKind::BodyTooLarge
            | ErrorKind::ClientBody
            | ErrorKind::ClientGone
            | ErrorKind::ClientTimeout
            | ErrorKind::HeadTooLarge
            | ErrorKind::Misdirected
            | ErrorKind::UriTooLong => "http_request_error",
            ErrorKind::Loop => "proxy_loop_detected",
            ErrorKind::MethodRefused => "http_request_denied",
            ErrorKind::NoRoute => "destination_not_found",
            ErrorKind::Overloaded | ErrorKind::Shed => "connection_limit_reached",
            ErrorKind::ConnectFailed if self.is_refused() => "connection_refused",
            ErrorKind::ConnectFailed if self.is_unresolved() => "dns_error",
            ErrorKind::ConnectFailed | ErrorKind::CircuitOpen => "destination_unavailable",
            ErrorKind::ConnectTimeout => "connection_timeout",
            ErrorKind::TlsFailed if self.is_untrusted() => "tls_certificate_error",
            ErrorKind::TlsFailed => "tls_protocol_error",
            ErrorKind::Closed => "connection_terminated",
            ErrorKind::ResponseTimeout => "connection_read_timeout",
            ErrorKind::TotalTimeout => "http_response_timeout",
            ErrorKind::BadResponse => "http_protocol_error",
            ErrorKind::Truncated => "http_response_incomplete",
            ErrorKind::BodyTaken => "proxy_internal_error",
            ErrorKind::Config => "proxy_configuration_error",
        }
    }

    fn is_unresolved(&self) -> bool {
        self.source().is_some_and(|cause| cause.is::<Unresolved>())
    }

    /// Whether the upstream's certificate is not believed, or is another's.
    #[cfg(feature = "tls")]
    fn is_untrusted(&self) -> bool {
        let cause = self.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let cause =
            cause.and_then(|cause| cause.get_ref()).and_then(|cause| cause.downcast_ref::<rustls::Error>());
        matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
    }

    #[cfg(not(feature = "tls"))]
    fn is_untrusted(&self) -> bool {
        false
    }

    fn is_refused(&self) -> bool {
        let cause = self.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
    }
}

#[cfg(test)]
mod tests;
