//! Fields after a body.

use http::{HeaderMap, HeaderName};

use crate::headers::{claims, hop};

/// Removes what has no place there: readers may merge these fields with those of the head (RFC 9110, 6.5.1), so that what
/// a client must not say in the one it must not say in the other.
pub(crate) fn clean(trailers: &mut HeaderMap) {
    hop::strip_trailers(trailers);
    let wrong = |name: &&HeaderName| hop::is_protected(name.as_str()) || claims::is_unwanted(name.as_str());
    let wrong: Vec<HeaderName> = trailers.keys().filter(wrong).cloned().collect();
    for name in wrong {
        trailers.remove(name);
    }
}
