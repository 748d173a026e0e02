//! Cookies, which HTTP/2 may send in crumbs.

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Makes one field of several `Cookie` fields.
///
/// In HTTP/2 a client may send each cookie as a field of its own, which compress better; anything but HTTP/2 must get
/// them as one (RFC 9113, 8.2.3), or an upstream reads only the first.
pub(crate) fn join(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut all = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(crumb.as_bytes());
    }
    // Made of field values, it is one.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(all)) {
        headers.insert(COOKIE, value);
    }
}
