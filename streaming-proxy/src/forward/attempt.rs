//! One request at one address.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::body::upload::{Progress, Upload};
use crate::error::{ErrorKind, ProxyError, Stage};
use crate::forward::trail::Trail;
use crate::headers::framing;
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
}

/// A request that was not answered. It is given back when none of it was sent, and only then.
pub(super) struct Unanswered {
    pub(super) error: ProxyError,
    pub(super) request: Option<Box<Request<Upload>>>,
}

/// Sends `request` to one address: on a kept connection, and if that was closed meanwhile, on a new one.
pub(super) async fn attempt(
    route: &Route,
    endpoint: &Arc<Endpoint>,
    request: Request<Upload>,
    retry: &Retry,
    trail: &mut Trail,
) -> Result<Answered, Unanswered> {
    trail.before(Stage::Queue);
    let turn = match endpoint.clone().turn().await {
        Ok(turn) => turn,
        Err(error) => return Err(Unanswered { error, request: Some(Box::new(request)) }),
    };
    let unsafe_within = route.upstream.config().unsafe_reuse_within;
    let mut fresh_within = Some(if retry.is_repeatable() { Duration::MAX } else { unsafe_within });
    let mut request = request;
    loop {
        trail.before(Stage::Connect);
        let mut connection = match endpoint.connection(fresh_within).await {
            Ok(connection) => connection,
            Err(error) => return Err(Unanswered { error, request: Some(Box::new(request)) }),
        };
        let copy = (connection.reused && retry.is_repeatable()).then(|| Box::new(copy(&request)));
        let upload = request.body().progress();
        trail.exchanging(upload.clone());
        match exchange(&mut connection, request, upload.as_deref(), route.timeouts.response_header).await {
            Ok(response) => return Ok(Answered { response, turn, connection, upload }),
            Err(Unanswered { error, request: unsent }) => {
                if unsent.is_some() {
                    trail.given_back();
                }
                if !connection.reused || !retry.on_a_new_connection(error.kind(), trail.now()) {
                    return Err(Unanswered { error, request: unsent });
                }
                let Some(again) = unsent.or(copy) else { return Err(Unanswered { error, request: None }) };
                route.upstream.metrics().retried.increment(1);
                request = *again;
                // Others that were kept may be closed as well: this time a new one.
                fresh_within = None;
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
