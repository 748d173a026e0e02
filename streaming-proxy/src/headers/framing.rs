//! Requests whose end or target two readers could see differently are refused, not repaired.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Response, Version};

use crate::error::{ErrorKind, ProxyError};
use crate::headers::scan::Scan;

/// Checks the framing and the authority of a request, and returns the authority that it is for.
///
/// hyper has already refused differing lengths, unknown codings and bare CR; this refuses the rest.
pub(crate) fn check(parts: &Parts, scan: Scan, max_head: usize) -> Result<Option<Authority>, ProxyError> {
    // `OPTIONS *` asks about this server, which has nothing to say.
    if parts.method == Method::CONNECT || parts.method == Method::TRACE || parts.uri.path() == "*" {
        return Err(ProxyError::new(ErrorKind::MethodRefused));
    }
    if scan.bytes > max_head {
        return Err(ProxyError::new(ErrorKind::HeadTooLarge));
    }
    check_length(&parts.headers, parts.version)?;
    authority(parts)
}

/// Checks the framing of an answer: hyper's client undoes `chunked` and nothing else, and the field ends at this hop.
///
/// It reads no length where no body follows (HEAD, 204, 304), and the client would get what is none. Beside a coding a
/// length says nothing, and is removed.
pub(crate) fn check_answer<B>(response: &Response<B>) -> Result<(), ProxyError> {
    let (headers, version) = (response.headers(), response.version());
    let checked = check_coding(headers, version).and_then(|()| {
        if headers.contains_key(TRANSFER_ENCODING) { Ok(()) } else { check_plain_length(headers) }
    });
    checked.map_err(|detail| ProxyError::new(ErrorKind::BadResponse).because(detail))
}

/// No transfer coding, or `chunked` alone.
fn check_coding(headers: &HeaderMap, version: Version) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
        return Err("a transfer coding other than chunked");
    }
    if version < Version::HTTP_11 {
        return Err("a transfer coding in HTTP/1.0");
    }
    Ok(())
}

fn check_length(headers: &HeaderMap, version: Version) -> Result<(), ProxyError> {
    check_coding(headers, version).map_err(ProxyError::bad_request)?;
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err(ProxyError::bad_request("both Transfer-Encoding and Content-Length"));
    }
    check_plain_length(headers).map_err(ProxyError::bad_request)
}

/// No length, or one that is a plain number.
fn check_plain_length(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let length = length.as_bytes();
        if lengths.next().is_some() || length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
            return Err("not exactly one plain Content-Length");
        }
    }
    Ok(())
}

/// The one authority that target and `Host` agree on.
fn authority(parts: &Parts) -> Result<Option<Authority>, ProxyError> {
    let host = match one_host(&parts.headers)? {
        Some(value) if value.is_empty() => return Err(ProxyError::bad_request("an empty Host")),
        Some(value) => {
            let host = value.to_str().ok().and_then(plain_authority);
            Some(host.ok_or_else(|| ProxyError::bad_request("Host is not a host"))?)
        }
        None => None,
    };
    match (parts.uri.authority(), host) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host.as_str()) => {
            Err(ProxyError::bad_request("Host and the target differ"))
        }
        (Some(target), _) if !is_plain(target) => {
            Err(ProxyError::bad_request("user information in the target"))
        }
        (Some(target), _) => Ok(Some(target.clone())),
        (None, Some(host)) => Ok(Some(host)),
        (None, None) if parts.version >= Version::HTTP_11 => Err(ProxyError::bad_request("no Host")),
        (None, None) => Ok(None),
    }
}

/// The one `Host`, if there is any (RFC 9112, 3.2): a request for two hosts is for neither.
pub(crate) fn one_host(headers: &HeaderMap) -> Result<Option<&HeaderValue>, ProxyError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    match hosts.next() {
        Some(_) => Err(ProxyError::bad_request("several Host fields")),
        None => Ok(host),
    }
}

/// The authority in `text`, if it is one and [plain](is_plain).
pub(crate) fn plain_authority(text: &str) -> Option<Authority> {
    Authority::try_from(text).ok().filter(is_plain)
}

/// Neither user information nor anything that would need escaping in `Forwarded`.
fn is_plain(authority: &Authority) -> bool {
    !authority.host().is_empty()
        && authority.as_str().bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~')
        })
}

#[cfg(test)]
mod tests;
