//! Sends a prepared request to one of its upstream's addresses, and again where that is safe.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::body::upload::{Progress, Upload};
use crate::config::HostHeader;
use crate::error::{ErrorKind, ProxyError, Sent, Stage};
use crate::forward::trail::Trail;
use crate::headers::framing;
use crate::route::Route;
use crate::upstream::endpoint::{Endpoint, Turn};
use crate::upstream::{Connection, Upstream};

/// The head of an answer, and what its body still holds.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) turn: Turn,
    pub(super) connection: Connection,
    pub(super) upload: Option<Arc<Progress>>,
}

/// A request that was not answered. It is given back when none of it was sent, and only then.
struct Unanswered {
    error: ProxyError,
    request: Option<Box<Request<Upload>>>,
}

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
    let mut tried = Vec::new();
    let mut last = None;
    // The request that tries an address may be lost there.
    let may_try = request.body().is_empty() && request.method().is_safe();
    while let Some((index, endpoint)) = upstream.pick(&tried, may_try) {
        if host == HostHeader::Upstream {
            request.headers_mut().insert(HOST, endpoint.host().clone());
        }
        match attempt(route, &endpoint, request, trail).await {
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
                // What reached one address may have been done there, and is not asked of another.
                match given_back {
                    Some(unsent) if trail.sent() == Sent::Not && tried.len() < attempts => request = *unsent,
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

/// Sends `request` to one address: on a kept connection, and if that was closed meanwhile, on a new one.
///
/// A kept connection may be closed by the upstream at the moment it is used. If hyper gives the request back, none of
/// it was sent, and it may be sent again whatever it is. Otherwise it is sent again only if doing it twice is the same
/// as doing it once (RFC 9110, 9.2.2) and there is no body, which would be gone.
async fn attempt(
    route: &Route,
    endpoint: &Arc<Endpoint>,
    request: Request<Upload>,
    trail: &mut Trail,
) -> Result<Answered, Unanswered> {
    *trail = Trail::Before(Stage::Queue);
    let turn = match endpoint.clone().turn().await {
        Ok(turn) => turn,
        Err(error) => return Err(Unanswered { error, request: Some(Box::new(request)) }),
    };
    let repeatable = request.body().is_empty() && is_idempotent(request.method());
    let mut fresh_within =
        Some(if repeatable { Duration::MAX } else { route.upstream.config().unsafe_reuse_within });
    let mut request = request;
    loop {
        *trail = Trail::Before(Stage::Connect);
        let mut connection = match endpoint.connection(fresh_within).await {
            Ok(connection) => connection,
            Err(error) => return Err(Unanswered { error, request: Some(Box::new(request)) }),
        };
        let copy = (connection.reused && repeatable).then(|| Box::new(copy(&request)));
        let upload = request.body().progress();
        *trail = Trail::Exchanging(upload.clone());
        match exchange(&mut connection, request, upload.as_deref(), route.timeouts.response_header).await {
            Ok(response) => return Ok(Answered { response, turn, connection, upload }),
            Err(Unanswered { error, request: unsent }) => {
                if unsent.is_some() {
                    *trail = Trail::Before(Stage::Send);
                }
                // A copy stands in only where a kept connection was closed under the request: an upstream that is slow or
                // answers nonsense has it, and asking elsewhere would ask twice.
                let again = unsent.or(copy.filter(|_| error.kind() == ErrorKind::Closed));
                match again {
                    Some(again) if connection.reused && error.kind() == ErrorKind::Closed => {
                        route.upstream.metrics().retried.increment(1);
                        request = *again;
                        // Others that were kept may be closed as well: this time a new one.
                        fresh_within = None;
                    }
                    again => return Err(Unanswered { error, request: again }),
                }
            }
        }
    }
}

/// Sends `request` on `connection`, and waits for the head of the answer.
async fn exchange(
    connection: &mut Connection,
    request: Request<Upload>,
    upload: Option<&Progress>,
    limit: Option<Duration>,
) -> Result<Response<Incoming>, Unanswered> {
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
                    return Err(Unanswered {
                        error: ProxyError::new(ErrorKind::ResponseTimeout),
                        request: None,
                    });
                }
            }
        }
    };
    let response = result.map_err(|mut failure| {
        let request = failure.take_message().map(Box::new);
        let cause = failure.into_error();
        let kind = match upload.and_then(Progress::fault) {
            Some(fault) => fault,
            None if cause.is_parse() || cause.is_parse_too_large() => ErrorKind::BadResponse,
            None => ErrorKind::Closed,
        };
        Unanswered { error: ProxyError::new(kind).with(cause), request }
    })?;
    framing::check_answer(&response).map_err(|error| Unanswered { error, request: None })?;
    Ok(response)
}

/// The same request again. Only for requests without a body.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut again = Request::new(Upload::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    again.headers_mut().clone_from(request.headers());
    again
}

fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}
