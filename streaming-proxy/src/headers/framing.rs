//! Requests whose end or target two readers could see differently are refused, not repaired.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Response, Version};

use crate::error::{ErrorKind, ProxyError};

/// Checks the framing and the target of a request, and returns the authority that it is for.
///
/// hyper has already refused differing lengths, unknown codings and bare CR; this refuses the rest.
pub(crate) fn check(parts: &Parts, max_head: usize) -> Result<Option<Authority>, ProxyError> {
    // `OPTIONS *` asks about this server, which has nothing to say.
    if parts.method == Method::CONNECT || parts.method == Method::TRACE || parts.uri.path() == "*" {
        return Err(ProxyError::new(ErrorKind::MethodRefused));
    }
    if parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > max_head {
        return Err(ProxyError::new(ErrorKind::HeadTooLarge));
    }
    check_length(&parts.headers, parts.version)?;
    check_path(parts.uri.path())?;
    authority(parts)
}

/// Checks the framing of an answer: hyper's client undoes `chunked` and nothing else, and the field ends at this hop.
pub(crate) fn check_answer<B>(response: &Response<B>) -> Result<(), ProxyError> {
    check_coding(response.headers(), response.version())
        .map_err(|detail| ProxyError::new(ErrorKind::BadResponse).because(detail))
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
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let length = length.as_bytes();
        if lengths.next().is_some() || length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
            return Err(ProxyError::bad_request("not exactly one plain Content-Length"));
        }
    }
    Ok(())
}

/// Refuses dot segments in every spelling that an upstream may resolve: what is matched is what is sent.
fn check_path(path: &str) -> Result<(), ProxyError> {
    if !path.starts_with('/') {
        return Err(ProxyError::bad_request("the target is not a path"));
    }
    let bytes = path.as_bytes();
    // The common path has nothing to look at.
    if !bytes.iter().any(|byte| matches!(byte, b'.' | b'%' | b'\\')) {
        return Ok(());
    }
    let mut segment = Segment::default();
    let mut rest = bytes;
    loop {
        match rest {
            [] => break,
            [b'/' | b'\\', tail @ ..] => {
                segment.end()?;
                rest = tail;
            }
            [b'%', b'2', b'f' | b'F', tail @ ..] | [b'%', b'5', b'c' | b'C', tail @ ..] => {
                segment.end()?;
                rest = tail;
            }
            [b'%', b'0', b'0', ..] => return Err(ProxyError::bad_request("a NUL in the path")),
            [b'%', b'2', b'e' | b'E', tail @ ..] => {
                segment.push(b'.');
                rest = tail;
            }
            [b'%', b'3', b'b' | b'B', tail @ ..] => {
                segment.push(b';');
                rest = tail;
            }
            [byte, tail @ ..] => {
                segment.push(*byte);
                rest = tail;
            }
        }
    }
    segment.end()
}

/// As much of a path segment as tells whether it is `.` or `..`, parameters (`;…`) aside.
#[derive(Default)]
struct Segment {
    dots: usize,
    other: bool,
    parameters: bool,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        match byte {
            _ if self.parameters => {}
            b';' => self.parameters = true,
            b'.' => self.dots += 1,
            _ => self.other = true,
        }
    }

    fn end(&mut self) -> Result<(), ProxyError> {
        let dots = !self.other && (self.dots == 1 || self.dots == 2);
        *self = Self::default();
        if dots { Err(ProxyError::bad_request("a dot segment in the path")) } else { Ok(()) }
    }
}

/// The one authority that target and `Host` agree on.
fn authority(parts: &Parts) -> Result<Option<Authority>, ProxyError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(ProxyError::bad_request("several Host fields"));
    }
    let host = match host {
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
        (None, None) if parts.version == Version::HTTP_11 => Err(ProxyError::bad_request("no Host")),
        (None, None) => Ok(None),
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
