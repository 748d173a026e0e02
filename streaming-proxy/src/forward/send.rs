//! Sends a prepared request to one of its upstream's addresses, and to another where that is safe.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Request;
use http::header::HOST;

use crate::body::replay::{Replay, Room};
use crate::body::upload::Upload;
use crate::config::{HostHeader, ProxyConfig};
use crate::error::{ErrorKind, ProxyError};
use crate::forward::attempt::{Answered, Unanswered, attempt};
use crate::forward::spare::Spare;
use crate::forward::trail::Trail;
use crate::resilience::retry::{Again, Retry};
use crate::resilience::retry_after::retry_after;
use crate::route::Route;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// The longest `Retry-After` that is waited out. Who is told to wait for longer is the client.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Sends `request` to an address, and to others for as long as that is safe and there are tries and budget left.
pub(super) async fn send(
    route: &Route,
    config: &ProxyConfig,
    room: &Arc<Room>,
    request: Request<Upload>,
    trail: &mut Trail,
) -> Result<Answered, ProxyError> {
    let upstream = &route.upstream;
    let mut retry = Retry::new(&request, &route.retries, config.max_replay);
    let mut request = request;
    let replay = if retry.wants_body() {
        let (parts, upload) = request.into_parts();
        let (upload, replay) = upload.replayed(config.max_replay, room);
        request = Request::from_parts(parts, upload);
        Some(replay)
    } else {
        None
    };
    upstream.resilience().budget.deposit();
    let mut tried = Vec::new();
    // The request that tries an address may be lost there.
    let may_try = request.body().is_empty() && request.method().is_safe();
    let mut next = upstream.pick(&tried, may_try);
    loop {
        let Some(endpoint) = next else { return Err(ProxyError::new(ErrorKind::ConnectFailed)) };
        // A request of HTTP/1.0 may have none, and goes on as one of HTTP/1.1, which must.
        if config.host == HostHeader::Upstream || !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, endpoint.host().clone());
        }
        match attempt(route, &endpoint, request, &retry, replay.as_ref(), trail).await {
            Ok(mut answered) => {
                // An answer that says «not now» or «I am broken» is no sign that the address is fine again.
                if !answered.response.status().is_server_error() {
                    endpoint.health.succeeded();
                }
                let Some(spare) = answered.again.take() else { return Ok(answered) };
                tried.push(endpoint.clone());
                let other = upstream.pick(&tried, may_try);
                let wait = match &other {
                    Some(_) => Duration::ZERO,
                    // The same address, if it says when.
                    None => match retry_after(answered.response.headers(), SystemTime::now) {
                        Some(wait) if wait <= LONGEST_WAIT => wait,
                        _ => return Ok(answered),
                    },
                };
                let Some(again) = withdraw(upstream, Again::Status, spare, replay.as_ref(), route) else {
                    return Ok(answered);
                };
                // Whatever it held, its turn first of all, is free while this request waits.
                drop(answered);
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                (request, next) = (again, Some(other.unwrap_or(endpoint)));
            }
            Err(Unanswered { error, again }) => {
                judge(upstream, &endpoint, &error);
                let reason = retry.elsewhere(error.kind(), trail.now());
                let (Some(reason), Some(spare)) = (reason, again) else { return Err(error) };
                tried.push(endpoint);
                next = upstream.pick(&tried, may_try);
                if next.is_none() {
                    return Err(error);
                }
                let Some(again) = withdraw(upstream, reason, spare, replay.as_ref(), route) else {
                    return Err(error);
                };
                request = again;
            }
        }
        retry.take();
    }
}

/// The request for another try, if the budget has one, and its body is still whole.
fn withdraw(
    upstream: &Upstream,
    reason: Again,
    spare: Spare,
    replay: Option<&Replay>,
    route: &Route,
) -> Option<Request<Upload>> {
    if !spare.is_whole(replay) {
        return None;
    }
    let resilience = upstream.resilience();
    if !resilience.budget.withdraw() {
        resilience.metrics.retries_denied.increment(1);
        return None;
    }
    resilience.metrics.retried(reason);
    spare.request(replay, route)
}

/// What a failure says about the address.
fn judge(upstream: &Upstream, endpoint: &Endpoint, error: &ProxyError) {
    let at_once = match error.kind() {
        ErrorKind::ConnectFailed | ErrorKind::ConnectTimeout | ErrorKind::TlsFailed => true,
        ErrorKind::BadResponse | ErrorKind::Closed | ErrorKind::ResponseTimeout => false,
        // The client's fault, or a bound of ours.
        _ => return,
    };
    if endpoint.health.failed(at_once) {
        upstream.resilience().metrics.avoided.increment(1);
        tracing::warn!(
            upstream = upstream.name(),
            address = endpoint.authority(),
            error = error as &dyn std::error::Error,
            "address is passed over"
        );
    }
}
