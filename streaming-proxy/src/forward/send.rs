//! Sends a prepared request to one of its upstream's addresses, and to another where that is safe.

use http::Request;
use http::header::HOST;

use crate::body::upload::Upload;
use crate::config::HostHeader;
use crate::error::{ErrorKind, ProxyError};
use crate::forward::attempt::{Answered, Unanswered, attempt};
use crate::forward::trail::Trail;
use crate::resilience::retry::Retry;
use crate::route::Route;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// Sends `request` to up to `attempts` addresses for as long as none of it was sent.
pub(super) async fn send(
    route: &Route,
    attempts: usize,
    host: HostHeader,
    request: Request<Upload>,
    trail: &mut Trail,
) -> Result<Answered, ProxyError> {
    let upstream = &route.upstream;
    let mut request = request;
    let mut retry = Retry::new(&request, attempts);
    let mut tried = Vec::new();
    let mut last = None;
    // The request that tries an address may be lost there.
    let may_try = request.body().is_empty() && request.method().is_safe();
    while let Some((index, endpoint)) = upstream.pick(&tried, may_try) {
        // A request of HTTP/1.0 may have none, and goes on as one of HTTP/1.1, which must.
        if host == HostHeader::Upstream || !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, endpoint.host().clone());
        }
        match attempt(route, &endpoint, request, &retry, trail).await {
            Ok(answered) => {
                // An answer that says «not now» or «I am broken» is no sign that the address is fine again.
                if !answered.response.status().is_server_error() {
                    endpoint.health.succeeded();
                }
                return Ok(answered);
            }
            Err(Unanswered { error, request: given_back }) => {
                judge(upstream, &endpoint, &error);
                tried.push(index);
                match given_back {
                    Some(unsent) if retry.elsewhere(trail.now()) => request = *unsent,
                    _ => return Err(error),
                }
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| ProxyError::new(ErrorKind::ConnectFailed)))
}

/// What a failure says about the address.
fn judge(upstream: &Upstream, endpoint: &Endpoint, error: &ProxyError) {
    let at_once = match error.kind() {
        ErrorKind::ConnectFailed | ErrorKind::ConnectTimeout => true,
        ErrorKind::BadResponse | ErrorKind::Closed | ErrorKind::ResponseTimeout => false,
        // The client's fault, or a bound of ours.
        _ => return,
    };
    if endpoint.health.failed(at_once) {
        upstream.metrics().avoided.increment(1);
        tracing::warn!(
            upstream = upstream.name(),
            address = endpoint.authority(),
            error = error as &dyn std::error::Error,
            "address is passed over"
        );
    }
}
