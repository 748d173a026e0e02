//! The task that owns a session's connection.

mod link;
mod serve;

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use self::link::Link;
use super::backoff::Backoff;
use super::connection::Refused;
use super::dial::Dial;
use super::opening::{Verdict, judge};
use super::shared::Shared;
use super::state::{State, StopReason};
use super::token::{TokenSource, Tokens, Why};
use crate::auth::Credential;
use crate::error::{Error, ErrorKind};

/// How long it may take from the first packet to the `welcome`.
const OPENING: Duration = Duration::from_secs(10);
/// The close code of a link that broke, RFC 6455, 7.4.1; also of one that we gave up.
const BROKEN: u16 = 1006;
/// The token has ended.
const TOKEN_ENDED: u16 = 4201;

/// Gives numbers from 0 up to 1.
pub(super) type Draw = Box<dyn FnMut() -> f64 + Send>;

/// Opens, serves, waits, and opens again.
pub(super) struct Owner<D> {
    shared: Arc<Shared>,
    dial: D,
    tokens: Tokens,
    backoff: Backoff,
    draw: Draw,
    /// The last connection that said goodbye, until both sides have closed it.
    farewell: Option<AbortOnDropHandle<()>>,
}

/// The session is over.
#[derive(Clone, Copy, Debug)]
struct Stop {
    reason: StopReason,
    code: Option<u16>,
}

/// A connection is over, or there was none.
#[derive(Debug)]
struct Lost {
    code: u16,
    /// `None`: there was no welcome.
    open_for: Option<Duration>,
    retry_after: Option<Duration>,
    cause: Option<Error>,
}

enum Opened<S> {
    // Boxed: the others are small.
    Link(Box<Link<S>>),
    /// The token is not good; another one may be.
    Renew,
    Not(Lost),
}

/// Tells everyone how it ended, also when the task is dropped or panics.
struct Ending {
    shared: Arc<Shared>,
    stop: Stop,
}

// === impl Owner ===

impl<D: Dial> Owner<D> {
    pub(super) fn new(shared: Arc<Shared>, dial: D, tokens: impl TokenSource, draw: Draw) -> Self {
        metrics::describe_counter!("ws.client.opened", "Connections of sessions that were welcomed");
        metrics::describe_counter!("ws.client.lost", "Connections of sessions that ended, by close code");
        metrics::describe_counter!(
            "ws.client.behind",
            "Updates that slow subscriptions did not take in time"
        );
        let tokens = Tokens::new(tokens);
        Self { shared, dial, tokens, backoff: Backoff::default(), draw, farewell: None }
    }

    /// Runs until the session is over.
    pub(super) async fn run(mut self) {
        let mut ending = Ending { shared: self.shared.clone(), stop: Stop::because(StopReason::Closed) };
        let Err(stop) = self.live().await;
        ending.stop = stop;
    }

    async fn live(&mut self) -> Result<Infallible, Stop> {
        let mut why = Why::Open;
        loop {
            self.shared.state.send_replace(State::Opening { attempt: self.backoff.attempt() });
            let lost = match self.open(why).await? {
                Opened::Link(link) => self.serve(*link).await?,
                Opened::Renew => {
                    why = Why::Renew;
                    continue;
                }
                Opened::Not(lost) => lost,
            };
            why = if lost.code == TOKEN_ENDED { Why::Renew } else { Why::Open };
            self.wait(lost).await?;
        }
    }

    async fn open(&mut self, why: Why) -> Result<Opened<D::Io>, Stop> {
        self.tokens.ask(why);
        let answer = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return Err(Stop::because(StopReason::Closed)),
            answer = self.tokens.answer() => answer,
        };
        let credential = match answer {
            Ok(Some(credential)) => credential,
            Ok(None) => return Err(Stop::because(StopReason::SignedOut)),
            Err(cause) => {
                return Ok(Opened::Not(Lost::broken(Error::with(ErrorKind::Credential, cause))));
            }
        };
        let deadline = Instant::now() + OPENING;
        let dialled = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return Err(Stop::because(StopReason::Closed)),
            dialled = timeout_at(deadline, self.dial.dial(&credential)) => dialled,
        };
        match dialled {
            Ok(Ok(client)) => Ok(Opened::Link(Box::new(Link::new(client, credential, deadline)))),
            Ok(Err(error)) => self.refused(error, why),
            Err(elapsed) => Ok(Opened::Not(Lost::broken(Error::with(ErrorKind::Connect, elapsed)))),
        }
    }

    fn refused(&mut self, error: Error, why: Why) -> Result<Opened<D::Io>, Stop> {
        if error.kind() == ErrorKind::Credential {
            // It will not get better by trying again.
            return Err(Stop::because(StopReason::Protocol));
        }
        let refused = error.source().and_then(|source| source.downcast_ref::<Refused>());
        let status = refused.map(|refused| refused.status);
        let retry_after = refused.and_then(|refused| refused.retry_after.as_deref());
        match judge(status, retry_after, why == Why::Renew, (self.draw)()) {
            Verdict::Renew => Ok(Opened::Renew),
            Verdict::Unauthenticated => Err(Stop::because(StopReason::Unauthenticated)),
            Verdict::Forbidden => Err(Stop::because(StopReason::Forbidden)),
            Verdict::Wait(retry_after) => Ok(Opened::Not(Lost { retry_after, ..Lost::broken(error) })),
        }
    }

    async fn wait(&mut self, lost: Lost) -> Result<(), Stop> {
        let Lost { code, open_for, retry_after, cause } = lost;
        let attempt = self.backoff.attempt();
        let drawn = (self.draw)();
        let Some(delay) = self.backoff.next(code, open_for, retry_after, drawn) else {
            return Err(Stop { reason: StopReason::of(code), code: Some(code) });
        };
        tracing::debug!(code, attempt, ?delay, "the rooms are away");
        let end = Instant::now() + delay;
        self.shared.state.send_replace(State::Waiting { attempt, delay, code, cause: cause.map(Arc::new) });
        loop {
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return Err(Stop::because(StopReason::Closed)),
                () = sleep_until(end) => return Ok(()),
                // A renewal that the last connection had begun. The source knows what it has got; we ask again.
                _ = self.tokens.answer() => {}
            }
        }
    }
}

// === impl Stop ===

impl Stop {
    fn because(reason: StopReason) -> Self {
        Self { reason, code: None }
    }
}

// === impl Lost ===

impl Lost {
    fn broken(cause: Error) -> Self {
        Self { code: BROKEN, open_for: None, retry_after: None, cause: Some(cause) }
    }
}

// === impl Ending ===

impl Drop for Ending {
    fn drop(&mut self) {
        let Stop { reason, code } = self.stop;
        self.shared.end(reason);
        // ORDER: last, since whoever sees it may leave.
        self.shared.state.send_replace(State::Stopped { reason, code });
    }
}

/// The credential as a token that a connection can be renewed with.
fn bearer(credential: &Credential) -> Option<&str> {
    match credential {
        Credential::Bearer(token) => Some(token),
        Credential::Ticket(_) => None,
    }
}
