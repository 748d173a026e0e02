//! Whether a request goes out again.

use http::{Method, Request, StatusCode};

use crate::body::upload::Upload;
use crate::config::Retries;
use crate::error::{ErrorKind, Sent};

/// What may still be done for one request.
#[derive(Debug)]
pub(crate) struct Retry<'a> {
    /// How many more tries it has.
    left: usize,
    idempotent: bool,
    repeatable: bool,
    wants_body: bool,
    statuses: &'a [StatusCode],
}

/// Why a request goes out again; in the metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Again {
    /// None of it was sent.
    Unsent,
    /// The upstream closed the connection without an answer.
    Closed,
    /// The upstream answered with a status that the route has on its list.
    Status,
}

// === impl Retry ===

impl<'a> Retry<'a> {
    /// For a request whose body, if it has one, is kept up to `kept` bytes to be sent again.
    pub(crate) fn new(request: &Request<Upload>, retries: &'a Retries, kept: usize) -> Self {
        let idempotent = is_idempotent(request.method());
        let length = http_body::Body::size_hint(request.body()).exact();
        let short = length.map(|length| usize::try_from(length).is_ok_and(|length| length <= kept));
        Self {
            left: retries.attempts.saturating_sub(1),
            idempotent,
            repeatable: idempotent && short == Some(true),
            wants_body: idempotent && !request.body().is_empty() && short != Some(false),
            statuses: &retries.statuses,
        }
    }

    /// Whether doing it twice is the same as doing it once (RFC 9110, 9.2.2), and its body, if any, is surely short
    /// enough to be there a second time.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Whether it has a body that is worth keeping: a short one, or one of which nobody knows how long it will be.
    pub(crate) fn wants_body(&self) -> bool {
        self.wants_body
    }

    /// Whether there are answers after which it would go out again.
    pub(crate) fn minds_answers(&self) -> bool {
        self.left > 0 && self.idempotent && !self.statuses.is_empty()
    }

    /// Whether it has another try.
    pub(crate) fn has_more(&self) -> bool {
        self.left > 0
    }

    /// Counts a try.
    pub(crate) fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Why it may go to another address after a try that failed like this, of which so much was sent.
    ///
    /// What was sent may have been done there, and is asked of another only if it may be done twice. An upstream that
    /// takes too long may still be at it, and one that answers nonsense has the request: neither is asked twice.
    pub(crate) fn elsewhere(&self, kind: ErrorKind, sent: Sent) -> Option<Again> {
        match sent {
            _ if self.left == 0 => None,
            Sent::Not => Some(Again::Unsent),
            Sent::Partly | Sent::Fully => {
                (kind == ErrorKind::Closed && self.idempotent).then_some(Again::Closed)
            }
        }
    }

    /// Whether it may go out again after an answer with this status.
    pub(crate) fn after(&self, status: StatusCode) -> bool {
        self.minds_answers() && self.statuses.contains(&status)
    }

    /// Whether it goes out again on a new connection to the same address, after a kept one failed.
    ///
    /// The upstream may close a kept connection at the moment it is used. Only that is no failure: one that is slow, or
    /// answers nonsense, has the request.
    pub(crate) fn on_a_new_connection(&self, kind: ErrorKind, sent: Sent) -> bool {
        kind == ErrorKind::Closed && (sent == Sent::Not || self.idempotent)
    }
}

fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

#[cfg(test)]
mod tests;
