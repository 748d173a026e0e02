//! Sends a prepared request to one of its upstream's addresses, and to another where that is safe.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::HOST;
use http::{Request, StatusCode};

use crate::body::replay::{Replay, Room};
use crate::body::upload::Upload;
use crate::config::{HostHeader, ProxyConfig};
use crate::error::{ErrorKind, ProxyError, Side, Stage};
use crate::forward::attempt::{Answered, Unanswered, attempt};
use crate::forward::spare::Spare;
use crate::forward::trail::Trail;
use crate::forward::watched::Watched;
use crate::resilience::retry::{Again, Retry};
use crate::resilience::retry_after::retry_after;
use crate::route::Route;
use crate::upstream::Upstream;
use crate::upstream::balance::Ask;

/// The longest `Retry-After` that is waited out. Who is told to wait for longer is the client.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Sends `request` if its upstream bears one more.
pub(super) async fn send(
    route: &Route,
    config: &ProxyConfig,
    room: &Arc<Room>,
    request: Request<Upload>,
    key: Option<u64>,
    trail: &mut Trail,
) -> Result<Answered, ProxyError> {
    trail.before(Stage::Queue);
    let Some(slot) = route.upstream.resilience().admit(route.priority)? else {
        return tries(route, config, room, request, key, trail).await;
    };
    let answered = tries(route, config, room, request, key, trail).await;
    match &answered {
        Ok(Answered { response, .. }) if too_many(response.status()) => slot.failed(),
        Ok(Answered { took: Some(took), response, .. }) if !response.status().is_server_error() => {
            slot.answered(*took);
        }
        Err(error) if error.is_timeout() && error.side() == Side::Upstream => slot.failed(),
        // It says nothing about how busy the upstream is.
        Ok(_) | Err(_) => drop(slot),
    }
    answered
}

/// What upstreams say that have more than they can do. 429 is about one client.
fn too_many(status: StatusCode) -> bool {
    [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT].contains(&status)
}

/// Sends `request` to an address, and to others for as long as that is safe and there are tries and budget left.
async fn tries(
    route: &Route,
    config: &ProxyConfig,
    room: &Arc<Room>,
    request: Request<Upload>,
    key: Option<u64>,
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
    let ask = Ask { may_try: request.body().is_empty() && request.method().is_safe(), only_up: false, key };
    let mut next = upstream.pick(&tried, ask)?;
    // One that is sent again tries nothing out: the budget may still say no, and the trial would be spent.
    let ask = Ask { may_try: false, ..ask };
    loop {
        let Some(endpoint) = next else { return Err(ProxyError::new(ErrorKind::ConnectFailed)) };
        // A request of HTTP/1.0 may have none, and goes on as one of HTTP/1.1, which must.
        if config.host == HostHeader::Upstream || !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, endpoint.host().clone());
        }
        let watched = Watched::new(upstream, &endpoint, !request.body().is_empty());
        match attempt(route, &endpoint, request, &retry, replay.as_ref(), trail).await {
            Ok(mut answered) => {
                answered.took = watched.answered(answered.response.status(), answered.upload.as_deref());
                let Some(spare) = answered.again.take() else { return Ok(answered) };
                tried.push(endpoint.clone());
                let other = upstream.pick(&tried, Ask { only_up: true, ..ask }).ok().flatten();
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
                watched.failed(&error);
                let reason = retry.elsewhere(error.kind(), trail.now());
                let (Some(reason), Some(spare)) = (reason, again) else { return Err(error) };
                tried.push(endpoint);
                next = upstream.pick(&tried, ask).ok().flatten();
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
    let again = spare.request(replay, route)?;
    resilience.metrics.retried(reason);
    Some(again)
}
