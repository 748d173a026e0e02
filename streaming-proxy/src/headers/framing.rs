//! Requests whose end or target two readers could see differently are refused, not repaired.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};

use crate::error::{ErrorKind, ProxyError};
use crate::headers::scan::{Scan, Seen};

/// Checks the framing and the authority of a request, and returns the authority that it is for.
///
/// hyper has already refused differing lengths, unknown codings and bare CR; this refuses the rest.
pub(crate) fn check<B>(
    request: &Request<B>,
    scan: Scan,
    max_head: usize,
) -> Result<Option<Authority>, ProxyError> {
    let method = request.method();
    // `OPTIONS *` asks about this server, which has nothing to say.
    if method == Method::CONNECT || method == Method::TRACE || request.uri().path() == "*" {
        return Err(ProxyError::new(ErrorKind::MethodRefused));
    }
    if scan.bytes > max_head {
        return Err(ProxyError::new(ErrorKind::HeadTooLarge));
    }
    check_length(request.headers(), scan, request.version())?;
    authority(request)
}

/// Checks the framing of an answer: hyper's client undoes `chunked` and nothing else, and the field ends at this hop.
///
/// It reads no length where no body follows (HEAD, 204, 304), and the client would get what is none. Beside a coding a
/// length says nothing, and is removed.
pub(crate) fn check_answer<B>(response: &Response<B>, scan: Scan) -> Result<(), ProxyError> {
    let (headers, version) = (response.headers(), response.version());
    let checked = match scan.has(Seen::Coding) {
        true => check_coding(headers, version),
        false => check_plain_length(headers, scan),
    };
    checked.map_err(|detail| ProxyError::new(ErrorKind::BadResponse).because(detail))
}

/// The coding that there is must be `chunked` alone.
fn check_coding(headers: &HeaderMap, version: Version) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if !codings.next().is_some_and(is_chunked) || codings.next().is_some() {
        return Err("a transfer coding other than chunked");
    }
    if version < Version::HTTP_11 {
        return Err("a transfer coding in HTTP/1.0");
    }
    Ok(())
}

fn check_length(headers: &HeaderMap, scan: Scan, version: Version) -> Result<(), ProxyError> {
    if !scan.has(Seen::Coding) {
        return check_plain_length(headers, scan).map_err(ProxyError::bad_request);
    }
    check_coding(headers, version).map_err(ProxyError::bad_request)?;
    if scan.has(Seen::Length) {
        return Err(ProxyError::bad_request("both Transfer-Encoding and Content-Length"));
    }
    Ok(())
}

/// No length, or one that is a plain number.
fn check_plain_length(headers: &HeaderMap, scan: Scan) -> Result<(), &'static str> {
    if !scan.has(Seen::Length) {
        return Ok(());
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let is_plain = |length: &[u8]| !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    match (lengths.next(), lengths.next()) {
        (Some(length), None) if is_plain(length) => Ok(()),
        _ => Err("not exactly one plain Content-Length"),
    }
}

/// The one authority that target and `Host` agree on.
fn authority<B>(request: &Request<B>) -> Result<Option<Authority>, ProxyError> {
    let host = match one_host(request.headers())? {
        Some(value) if value.is_empty() => return Err(ProxyError::bad_request("an empty Host")),
        Some(value) => {
            let host = value.to_str().ok().and_then(plain_authority);
            Some(host.ok_or_else(|| ProxyError::bad_request("Host is not a host"))?)
        }
        None => None,
    };
    match (request.uri().authority(), host) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host.as_str()) => {
            Err(ProxyError::bad_request("Host and the target differ"))
        }
        (Some(target), _) if !is_plain(target) => {
            Err(ProxyError::bad_request("user information in the target"))
        }
        (Some(target), _) => Ok(Some(target.clone())),
        (None, Some(host)) => Ok(Some(host)),
        (None, None) if request.version() >= Version::HTTP_11 => Err(ProxyError::bad_request("no Host")),
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
    !authority.as_str().is_empty()
        && !authority.as_str().starts_with(':')
        && authority.as_str().bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~')
        })
}

/// The host of a [plain](is_plain) authority: there is no user information to look for, which `Authority` would.
pub(crate) fn host(authority: &Authority) -> &str {
    let text = authority.as_str();
    let end = match text.starts_with('[') {
        true => text.bytes().position(|byte| byte == b']').map(|bracket| bracket + 1),
        false => text.bytes().position(|byte| byte == b':'),
    };
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
