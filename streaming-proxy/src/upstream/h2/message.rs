//! Requests of HTTP/1.1 as ones of HTTP/2, and what a failure says.

use std::error::Error as StdError;

use h2::Reason;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Uri, Version};

use crate::body::upload::Upload;

/// The same request for a connection of HTTP/2: `Host` becomes the authority (RFC 9113, 8.3.1), and what is about a
/// connection of HTTP/1.1 goes (8.2.2). `TE: trailers` stays, since it is what may.
///
/// A wish to upgrade goes with it: it becomes an ordinary request, as HTTP has it (RFC 9110, 7.8).
pub(super) fn request(mut request: Request<Upload>, is_tls: bool) -> Request<Upload> {
    let headers = request.headers_mut();
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    // INVARIANT: it is a plain authority; `framing` looked at the client's, and ours is an address.
    let authority = headers.remove(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = authority {
        parts.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
    }
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
    request
}

/// A request that was not sent, for whoever tries it again: as it was before [`request`], but for a wish to upgrade.
pub(super) fn back(mut request: Request<Upload>) -> Request<Upload> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = None;
    if let Some(authority) = parts.authority.take()
        && let Ok(host) = authority.as_str().parse()
    {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    if request.headers().contains_key(TE) {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if !request.body().is_empty() && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    request
}

/// Whether the upstream says that it has not looked at the request: it refused the stream, or went away and named an
/// earlier one as its last (RFC 9113, 8.7). Then it can be sent again, whatever it asks.
pub(crate) fn is_unprocessed(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|error| {
        error.is_remote()
            && (error.is_go_away() || error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM))
    })
}

/// Whether the answer was no HTTP/2, which this side found out.
pub(crate) fn is_malformed(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|error| error.is_library() && error.reason() != Some(Reason::NO_ERROR))
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    let mut level = error.source();
    while let Some(error) = level {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        level = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
