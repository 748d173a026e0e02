//! `Max-Forwards` (RFC 9110, 7.6.2): how many proxies an `OPTIONS` may still pass.

use http::header::{ALLOW, MAX_FORWARDS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::body::ProxyBody;
use crate::error::ProxyError;

/// What this proxy passes on, of the methods that have a name.
pub(crate) const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Whether the request ends here, since its count is over.
///
/// # Errors
///
/// [`ErrorKind::BadRequest`](crate::ErrorKind::BadRequest) for what is no count.
pub(crate) fn is_over(method: &Method, headers: &HeaderMap) -> Result<bool, ProxyError> {
    // TRACE, the other method that has a count, is not passed on at all.
    Ok(*method == Method::OPTIONS && left(headers)? == Some(0))
}

/// Counts this hop, of an `OPTIONS`.
pub(crate) fn count(headers: &mut HeaderMap) -> Result<(), ProxyError> {
    if let Some(left) = left(headers)? {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
    Ok(())
}

/// What this proxy, as the last recipient, says to `OPTIONS`.
pub(crate) fn answer() -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, ALLOWED);
    response
}

fn left(headers: &HeaderMap) -> Result<Option<u64>, ProxyError> {
    let mut counts = headers.get_all(MAX_FORWARDS).iter();
    let Some(count) = counts.next() else { return Ok(None) };
    let digits = count.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let count = digits.and_then(|digits| digits.parse().ok()).filter(|_| counts.next().is_none());
    count.map(Some).ok_or_else(|| ProxyError::bad_request("not exactly one plain Max-Forwards"))
}
