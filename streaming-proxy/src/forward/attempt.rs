//! One request at one address.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
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
use crate::upstream::channel::Channel;
use crate::upstream::endpoint::{Endpoint, Needs, Turn};

/// The head of an answer, and what its body still holds.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) turn: Turn,
    pub(super) channel: Channel,
    pub(super) upload: Option<Arc<Progress>>,
    /// How long it took to come, where that is measured.
    pub(super) took: Option<Duration>,
    /// The request, to be sent again, where the answer may be one of those after which it is.
    pub(super) again: Option<Spare>,
}

/// A request that was not answered.
pub(super) struct Unanswered {
    pub(super) error: ProxyError,
    /// The request, to be sent again: itself when none of it was sent, and else another like it, if that may be.
    pub(super) again: Option<Spare>,
}

/// How often more a request is sent to an address that says that it has not looked at it. An upstream that lets go of a
/// connection does so once; one that goes on refusing is full.
const REFUSED_AGAIN: u32 = 2;

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
    let mut needs = Needs {
        fresh_within: Some(if retry.is_repeatable() { Duration::MAX } else { unsafe_within }),
        upgrade: request.headers().contains_key(UPGRADE),
    };
    let mut refused = 0;
    let mut request = request;
    loop {
        trail.before(Stage::Connect);
        let mut channel = match endpoint.channel(needs).await {
            Ok(channel) => channel,
            Err(error) => {
                // It knows how far it came: to a stream that is not free, or through the connect to TLS.
                trail.before(match error.stage() {
                    stage @ (Stage::Queue | Stage::Tls) => stage,
                    _ => Stage::Connect,
                });
                return Err(Unanswered { error, again: Some(Spare::unsent(request)) });
            }
        };
        let may_repeat = replay.is_some() || retry.is_repeatable();
        let goes_on = retry.minds_answers() || (retry.has_more() && route.upstream.has_several());
        let is_wanted = may_repeat && (channel.is_reused() || goes_on) || channel.may_be_refused();
        let copy = is_wanted.then(|| Spare::copy(&request));
        let upload = request.body().progress();
        trail.exchanging(upload.clone());
        if !channel.may_be_refused() {
            // hyper's client of HTTP/2 tells of no 100, and nothing is held back that nobody would let go.
            expect::hold_back(&mut request, &route.timeouts);
        }
        match exchange(&mut channel, request, upload.as_deref(), route.timeouts.response_header).await {
            Ok(response) => {
                let again = copy.filter(|_| may_repeat && retry.after(response.status()));
                return Ok(Answered { response, turn, channel, upload, took: None, again });
            }
            Err(Failure { error, unsent, is_unprocessed }) => {
                if unsent.is_some() || is_unprocessed {
                    trail.given_back();
                }
                let again = unsent.map(Spare::unsent).or(copy.filter(|_| may_repeat || is_unprocessed));
                refused += u32::from(is_unprocessed);
                let once_more = match is_unprocessed {
                    true => refused <= REFUSED_AGAIN,
                    // Once: what is new may be as shared as the one before, where no more connections may be.
                    false => {
                        needs.fresh_within.is_some()
                            && channel.is_reused()
                            && retry.on_a_new_connection(error.kind(), trail.now())
                    }
                };
                if !once_more {
                    return Err(Unanswered { error, again });
                }
                let Some(next) = again.and_then(|again| again.request(replay, route)) else {
                    return Err(Unanswered { error, again: None });
                };
                route.upstream.resilience().metrics.retried_kept.increment(1);
                request = next;
                if !is_unprocessed {
                    // Others that were kept may be closed as well: this time a new one.
                    needs.fresh_within = None;
                }
            }
        }
    }
}

/// A request that was not answered on its connection, which gives it back when none of it was sent.
struct Failure {
    error: ProxyError,
    unsent: Option<Request<Upload>>,
    /// Whether the upstream says that it has not looked at it, though some was sent.
    is_unprocessed: bool,
}

/// Sends `request` on `channel`, and waits for the head of the answer.
async fn exchange(
    channel: &mut Channel,
    request: Request<Upload>,
    upload: Option<&Progress>,
    limit: Option<Duration>,
) -> Result<Response<Incoming>, Failure> {
    let start = Instant::now();
    let mut sending = pin!(channel.send(request));
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
                    return Err(Failure::of(ProxyError::new(ErrorKind::ResponseTimeout)));
                }
            }
        }
    };
    let response = result.map_err(|failed| {
        let kind = match upload.and_then(Progress::fault) {
            Some(fault) => fault,
            None if failed.is_bad_answer() => ErrorKind::BadResponse,
            None => ErrorKind::Closed,
        };
        let is_unprocessed = failed.is_unprocessed();
        Failure { error: ProxyError::new(kind).with(failed.cause), unsent: failed.unsent, is_unprocessed }
    })?;
    framing::check_answer(&response).map_err(Failure::of)?;
    Ok(response)
}

// === impl Failure ===

impl Failure {
    /// One after which the request is gone.
    fn of(error: ProxyError) -> Self {
        Self { error, unsent: None, is_unprocessed: false }
    }
}
