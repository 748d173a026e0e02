//! One request at one address.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::body::upload::{Progress, Upload};
use crate::clock::Clock;
use crate::error::{ErrorKind, ProxyError, Stage};
use crate::forward::outgoing::Outgoing;
use crate::forward::trail::Trail;
use crate::headers::scan::Scan;
use crate::headers::{expect, framing};
use crate::resilience::retry::Retry;
use crate::route::Route;
use crate::upstream::channel::{Channel, Failed};
use crate::upstream::endpoint::{Endpoint, Needs, Turn};

/// The head of an answer, and what its body still holds.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// Of the fields of its head.
    pub(super) scan: Scan,
    pub(super) turn: Turn,
    pub(super) channel: Channel,
    pub(super) upload: Option<Arc<Progress>>,
    /// How long it took to come, where that is measured.
    pub(super) took: Option<Duration>,
    /// Whether it is one of those after which the request is sent again.
    pub(super) again: bool,
}

/// How often more a request is sent to an address that says that it has not looked at it. An upstream that lets go of a
/// connection does so once; one that goes on refusing is full.
const REFUSED_AGAIN: u32 = 2;

/// Sends a request to one address: on a kept connection, and if that was closed meanwhile, on a new one.
///
/// What may be sent again after it is in `outgoing`.
pub(super) async fn attempt(
    route: &Route,
    endpoint: &Arc<Endpoint>,
    outgoing: &mut Outgoing,
    retry: &Retry<'_>,
    trail: &mut Trail,
) -> Result<Answered, ProxyError> {
    trail.before(Stage::Queue);
    trail.at(endpoint.authority());
    let turn = endpoint.turn().await?;
    let unsafe_within = route.upstream.config().unsafe_reuse_within;
    let mut needs = Needs {
        fresh_within: Some(if retry.is_repeatable() { Duration::MAX } else { unsafe_within }),
        upgrade: outgoing.is_upgrade,
    };
    let mut refused = 0;
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
                return Err(error);
            }
        };
        let may_repeat = outgoing.keeps_body() || retry.is_repeatable();
        let goes_on = retry.minds_answers() || (retry.has_more() && route.upstream.has_several());
        let keep = may_repeat && (channel.is_reused() || goes_on) || channel.may_be_refused();
        let upload = outgoing.request().body().progress();
        trail.exchanging(upload.clone());
        let sending = {
            let mut request = outgoing.take(keep);
            if !channel.may_be_refused() {
                // hyper's client of HTTP/2 tells of no 100, and nothing is held back that nobody would let go.
                expect::hold_back(&mut request, &route.timeouts);
            }
            channel.send(request)
        };
        let sending = pin!(sending);
        match exchange(sending, channel.clock(), upload.as_deref(), route.timeouts.response_header).await {
            Ok((response, scan)) => {
                let again = may_repeat && retry.after(response.status());
                return Ok(Answered { response, scan, turn, channel, upload, took: None, again });
            }
            Err(Failure { error, unsent, is_unprocessed }) => {
                if unsent.is_some() || is_unprocessed {
                    trail.given_back();
                }
                match unsent {
                    Some(request) => outgoing.give_back(*request),
                    None if may_repeat || is_unprocessed => {}
                    None => outgoing.forget(),
                }
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
                if !once_more || !outgoing.renew() {
                    return Err(error);
                }
                route.upstream.resilience().metrics.retried_kept.increment(1);
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
    unsent: Option<Box<Request<Upload>>>,
    /// Whether the upstream says that it has not looked at it, though some was sent.
    is_unprocessed: bool,
}

/// Waits for the head of the answer to what is being sent.
async fn exchange<F>(
    mut sending: Pin<&mut F>,
    clock: &mut Clock,
    upload: Option<&Progress>,
    limit: Option<Duration>,
) -> Result<(Response<Incoming>, Scan), Failure>
where
    F: Future<Output = Result<Response<Incoming>, Failed>>,
{
    let start = Instant::now();
    let result = poll_fn(|cx| {
        if let Poll::Ready(result) = sending.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        let Some(limit) = limit else { return Poll::Pending };
        // The time starts anew with every piece of the request that the upstream takes, and does not run while the
        // client is the one to wait for.
        let due = upload.map_or(start, Progress::upstream_owes_since) + limit;
        clock.poll_at(cx, due).map(|()| None)
    });
    let Some(result) = result.await else {
        return Err(Failure::of(ProxyError::new(ErrorKind::ResponseTimeout)));
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
    let scan = Scan::of_answer(response.headers());
    framing::check_answer(&response, scan).map_err(Failure::of)?;
    Ok((response, scan))
}

// === impl Failure ===

impl Failure {
    /// One after which the request is gone.
    fn of(error: ProxyError) -> Self {
        Self { error, unsent: None, is_unprocessed: false }
    }
}
