//! Sends a prepared request to one of its upstream's addresses, and to another where that is safe.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::HOST;

use crate::body::replay::Room;
use crate::config::{HostHeader, ProxyConfig};
use crate::error::{ErrorKind, ProxyError, Side, Stage};
use crate::forward::attempt::{Answered, attempt};
use crate::forward::outgoing::Outgoing;
use crate::forward::trail::Trail;
use crate::forward::watched::Watched;
use crate::resilience::retry::{Again, Retry};
use crate::resilience::retry_after::retry_after;
use crate::route::Route;
use crate::upstream::Upstream;
use crate::upstream::balance::Ask;

/// The longest `Retry-After` that is waited out. Who is told to wait for longer is the client.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Sends a request if its upstream bears one more.
pub(super) async fn send(
    route: &Route,
    config: &ProxyConfig,
    room: &Arc<Room>,
    outgoing: &mut Outgoing,
    key: Option<u64>,
    trail: &mut Trail,
) -> Result<Answered, ProxyError> {
    trail.before(Stage::Queue);
    let slot = route.upstream.resilience().admit(route.priority)?;
    let answered = tries(route, config, room, outgoing, key, trail).await;
    let Some(slot) = slot else { return answered };
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

/// Sends a request to an address, and to others for as long as that is safe and there are tries and budget left.
async fn tries(
    route: &Route,
    config: &ProxyConfig,
    room: &Arc<Room>,
    outgoing: &mut Outgoing,
    key: Option<u64>,
    trail: &mut Trail,
) -> Result<Answered, ProxyError> {
    let upstream = &route.upstream;
    let mut retry = Retry::new(outgoing.request(), &route.retries, config.max_replay);
    if retry.wants_body() {
        outgoing.keep_body(config.max_replay, room);
    }
    upstream.resilience().budget.deposit();
    let mut tried = Vec::new();
    let request = outgoing.request();
    let has_body = !request.body().is_empty();
    // The request that tries an address may be lost there.
    let ask = Ask { may_try: !has_body && request.method().is_safe(), only_up: false, key };
    let mut next = upstream.pick(&tried, ask)?;
    // One that is sent again tries nothing out: the budget may still say no, and the trial would be spent.
    let ask = Ask { may_try: false, ..ask };
    loop {
        let Some(endpoint) = next else { return Err(ProxyError::new(ErrorKind::ConnectFailed)) };
        let headers = outgoing.request_mut().headers_mut();
        // A request of HTTP/1.0 may have none, and goes on as one of HTTP/1.1, which must.
        if config.host == HostHeader::Upstream || !headers.contains_key(HOST) {
            headers.insert(HOST, endpoint.host().clone());
        }
        let watched = Watched::new(upstream, &endpoint, has_body);
        let wait = match attempt(route, &endpoint, outgoing, &retry, trail).await {
            Ok(mut answered) => {
                answered.took = watched.answered(answered.response.status(), answered.upload.as_deref());
                if !answered.again {
                    return Ok(answered);
                }
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
                if !withdraw(upstream, Again::Status, outgoing) {
                    return Ok(answered);
                }
                next = Some(other.unwrap_or(endpoint));
                wait
            }
            Err(error) => {
                watched.failed(&error);
                let reason = retry.elsewhere(error.kind(), trail.now()).filter(|_| outgoing.is_whole());
                let Some(reason) = reason else { return Err(error) };
                tried.push(endpoint);
                next = upstream.pick(&tried, ask).ok().flatten();
                if next.is_none() || !withdraw(upstream, reason, outgoing) {
                    return Err(error);
                }
                Duration::ZERO
            }
        };
        // Whatever the last try held, its turn first of all, is free while this request waits.
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        retry.take();
    }
}

/// Makes the request ready for another try, if it is whole and the budget has one.
fn withdraw(upstream: &Upstream, reason: Again, outgoing: &mut Outgoing) -> bool {
    if !outgoing.is_whole() {
        return false;
    }
    let resilience = upstream.resilience();
    if !resilience.budget.withdraw() {
        resilience.metrics.retries_denied.increment(1);
        return false;
    }
    let renewed = outgoing.renew();
    if renewed {
        resilience.metrics.retried(reason);
    }
    renewed
}
