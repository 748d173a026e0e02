//! `Expect: 100-continue` (RFC 9110, 10.1.1).

use http::header::EXPECT;
use http::{HeaderMap, Request, StatusCode, Version};

use crate::body::gate::Gate;
use crate::body::upload::Upload;
use crate::config::Timeouts;

/// Keeps the expectation of a request that came as `version` with a body, if it is one, and removes it otherwise.
///
/// In HTTP/1.0 it means nothing. In HTTP/2 it cannot be met: neither hyper nor h2 can send interim answers.
pub(crate) fn keep_or_remove(headers: &mut HeaderMap, version: Version, has_body: bool) {
    let mut values = headers.get_all(EXPECT).iter();
    let known = values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !(known && values.next().is_none() && version == Version::HTTP_11 && has_body) {
        headers.remove(EXPECT);
    }
}

/// Holds back the body of a request that has the expectation, until the upstream asks for it.
///
/// hyper's server sends the client its `100 Continue` when the body is first read.
pub(crate) fn hold_back(request: &mut Request<Upload>, timeouts: &Timeouts) {
    if request.body().is_empty() || !request.headers().contains_key(EXPECT) {
        return;
    }
    let (gate, key) = Gate::new(timeouts.expect_continue);
    request.body_mut().behind(gate);
    hyper::ext::on_informational(request, move |interim| {
        if interim.status() == StatusCode::CONTINUE {
            key.open();
        }
    });
}
