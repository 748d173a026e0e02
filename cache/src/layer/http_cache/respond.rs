//! What is answered.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG,
    HeaderName, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::answer::Outcome;
use crate::error::{Error, ErrorKind};
use crate::layer::http_cache::answer::Whole;
use crate::layer::http_cache::body::HttpCacheBody;
use crate::layer::http_cache::question::Wanted;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// An answer that is kept, or was loaded just now.
pub(super) fn whole<R>(
    whole: &Whole,
    outcome: Outcome,
    age: Duration,
    wanted: &Wanted,
) -> Response<HttpCacheBody<R>> {
    let mut response = Response::new(HttpCacheBody::whole(Bytes::new()));
    let mut headers = whole.headers.clone();
    let age = whole.age.saturating_add(age).as_secs();
    if outcome != Outcome::Miss {
        // How long something took when it was made says nothing of this answer.
        headers.remove(SERVER_TIMING);
    }
    if outcome != Outcome::Miss || age > 0 {
        headers.insert(AGE, age.into());
    }
    if whole.status.is_success() && has_it(&whole.headers, wanted) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        // What it says of a body that is not sent (RFC 9110, section 15.4.5).
        for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE] {
            headers.remove(name);
        }
        // Without a tag, that is how he who has it knows what he has.
        if headers.contains_key(ETAG) {
            headers.remove(LAST_MODIFIED);
        }
    } else {
        *response.status_mut() = whole.status;
        if !wanted.head {
            *response.body_mut() = HttpCacheBody::whole(whole.body.clone());
        } else if whole.status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_LENGTH, whole.body.len().into());
        }
    }
    *response.headers_mut() = headers;
    marked(response, outcome)
}

/// The answer with where it came from.
pub(super) fn marked<R>(
    mut response: Response<HttpCacheBody<R>>,
    outcome: Outcome,
) -> Response<HttpCacheBody<R>> {
    let timing = HeaderValue::from_static(outcome.server_timing());
    response.headers_mut().append(SERVER_TIMING, timing);
    response
}

/// To who waited for a load that failed. The error is an extension of it.
pub(super) fn failed<R>(error: Error) -> Response<HttpCacheBody<R>> {
    let status = match error.kind() {
        ErrorKind::Load => StatusCode::BAD_GATEWAY,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Config | ErrorKind::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = empty(status);
    response.extensions_mut().insert(error);
    response
}

/// To who wants only what is kept, and there is nothing (RFC 9111, section 5.2.1.7).
pub(super) fn nothing_kept<R>() -> Response<HttpCacheBody<R>> {
    empty(StatusCode::GATEWAY_TIMEOUT)
}

fn empty<R>(status: StatusCode) -> Response<HttpCacheBody<R>> {
    let mut response = Response::new(HttpCacheBody::whole(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether who asks has it already (RFC 9110, section 13.2.2).
fn has_it(headers: &HeaderMap, wanted: &Wanted) -> bool {
    if !wanted.none_match.is_empty() {
        let tag = headers.get(ETAG).and_then(|tag| opaque(tag.as_bytes()).next());
        return wanted.none_match.iter().any(|listed| {
            listed.as_bytes().trim_ascii() == b"*"
                || tag.is_some_and(|tag| opaque(listed.as_bytes()).any(|listed| listed == tag))
        });
    }
    let time = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
    let since = wanted.modified_since.as_ref().and_then(time);
    // RFC 9111, section 4.3.2: where it does not say, it has changed when it was made.
    let modified = headers.get(LAST_MODIFIED).or_else(|| headers.get(DATE)).and_then(time);
    since.zip(modified).is_some_and(|(since, modified)| modified <= since)
}

/// What the quotes of entity tags hold. Whether they are weak makes no difference here (RFC 9110, section 8.8.3.2).
fn opaque(tags: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Between the first and the second quote, the third and the fourth, and so on: tags contain none.
    let closed = tags.iter().filter(|byte| **byte == b'"').count() / 2;
    tags.split(|byte| *byte == b'"').skip(1).step_by(2).take(closed)
}
