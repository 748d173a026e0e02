//! One request at one address.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::body::replay::Replay;
use crate::body::upload::{Progress, Upload};
use crate::error::{ErrorKind, ProxyError, Stage};
use crate::forward::spare::Spare;
use crate::forward::trail::Trail;
use crate::headers::{expect, framing};
use crate::resilience::retry::Retry;
use crate::route::Route;
use crate::upstream::Connection;
use crate::upstream::endpoint::{Endpoint, Turn};

/// The head of an answer, and what its body still holds.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) turn: Turn,
    pub(super) connection: Connection,
    pub(super) upload: Option<Arc<Progress>>,
    /// The request, to be sent again, where the answer may be one of those after which it is.
    pub(super) again: Option<Spare>,
}

/// A request that was not answered.
pub(super) struct Unanswered {
    pub(super) error: ProxyError,
    /// The request, to be sent again: itself when none of it was sent, and else another like it, if that may be.
    pub(super) again: Option<Spare>,
}

/// Sends `request` to one address: on a kept connection, and if that was closed meanwhile, on a new one.
pub(super) async fn attempt(
    route: &Route,
    endpoint: &Arc<Endpoint>,
    request: Request<Upload>,
    retry: &Retry<'_>,
    replay: Option<&Replay>,
    trail: &mut Trail,
) -> Result<Answered, Unanswered> {
    trail.before(Stage::Queue);
    trail.at(endpoint.authority());
    let turn = match endpoint.clone().turn().await {
        Ok(turn) => turn,
        Err(error) => return Err(Unanswered { error, again: Some(Spare::unsent(request)) }),
    };
    let unsafe_within = route.upstream.config().unsafe_reuse_within;
    let mut fresh_within = Some(if retry.is_repeatable() { Duration::MAX } else { unsafe_within });
    let mut request = request;
    loop {
        trail.before(Stage::Connect);
        let mut connection = match endpoint.connection(fresh_within).await {
            Ok(connection) => connection,
            Err(error) => return Err(Unanswered { error, again: Some(Spare::unsent(request)) }),
        };
        let may_repeat = replay.is_some() || retry.is_repeatable();
        let goes_on = retry.minds_answers() || (retry.has_more() && route.upstream.has_several());
        let copy = (may_repeat && (connection.reused || goes_on)).then(|| Spare::copy(&request));
        let upload = request.body().progress();
        trail.exchanging(upload.clone());
        expect::hold_back(&mut request, &route.timeouts);
        match exchange(&mut connection, request, upload.as_deref(), route.timeouts.response_header).await {
            Ok(response) => {
                let again = copy.filter(|_| retry.after(response.status()));
                return Ok(Answered { response, turn, connection, upload, again });
            }
            Err(Failure { error, unsent }) => {
                if unsent.is_some() {
                    trail.given_back();
                }
                let again = unsent.map(Spare::unsent).or(copy);
                if !connection.reused || !retry.on_a_new_connection(error.kind(), trail.now()) {
                    return Err(Unanswered { error, again });
                }
                let Some(next) = again.and_then(|again| again.request(replay, route)) else {
                    return Err(Unanswered { error, again: None });
                };
                route.upstream.resilience().metrics.retried_kept.increment(1);
                request = next;
                // Others that were kept may be closed as well: this time a new one.
                fresh_within = None;
            }
        }
    }
}

/// A request that was not answered on its connection, which gives it back when none of it was sent.
struct Failure {
    error: ProxyError,
    unsent: Option<Request<Upload>>,
}

/// Sends `request` on `connection`, and waits for the head of the answer.
async fn exchange(
    connection: &mut Connection,
    request: Request<Upload>,
    upload: Option<&Progress>,
    limit: Option<Duration>,
) -> Result<Response<Incoming>, Failure> {
    let start = Instant::now();
    let mut sending = pin!(connection.sender.try_send_request(request));
    let result = match limit {
        None => sending.await,
        Some(limit) => {
            let mut due = start + limit;
            loop {
                if let Ok(result) = timeout_at(due, &mut sending).await {
                    break result;
                }
                // The time starts anew with every piece of the request that the upstream takes, and does not run
                // while the client is the one to wait for.
                due = upload.map_or(start, Progress::upstream_owes_since) + limit;
                if due <= Instant::now() {
                    return Err(Failure { error: ProxyError::new(ErrorKind::ResponseTimeout), unsent: None });
                }
            }
        }
    };
    let response = result.map_err(|mut failure| {
        let unsent = failure.take_message();
        let cause = failure.into_error();
        let kind = match upload.and_then(Progress::fault) {
            Some(fault) => fault,
            None if cause.is_parse() || cause.is_parse_too_large() => ErrorKind::BadResponse,
            None => ErrorKind::Closed,
        };
        Failure { error: ProxyError::new(kind).with(cause), unsent }
    })?;
    framing::check_answer(&response).map_err(|error| Failure { error, unsent: None })?;
    Ok(response)
}
