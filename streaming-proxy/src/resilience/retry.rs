//! Whether a request goes out again.

use http::{Method, Request};

use crate::body::upload::Upload;
use crate::error::{ErrorKind, Sent};

/// What may still be done for one request.
#[derive(Debug)]
pub(crate) struct Retry {
    /// How many more addresses it may be sent to.
    left: usize,
    repeatable: bool,
}

// === impl Retry ===

impl Retry {
    /// For a request that may go to `attempts` addresses.
    pub(crate) fn new(request: &Request<Upload>, attempts: usize) -> Self {
        Self {
            left: attempts.saturating_sub(1),
            repeatable: request.body().is_empty() && is_idempotent(request.method()),
        }
    }

    /// Whether doing it twice is the same as doing it once (RFC 9110, 9.2.2), and there is no body, which would be
    /// gone.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Whether it goes to another address after a try of which so much was sent. What that try gave to an upstream may
    /// have been done there, and is not asked of another.
    pub(crate) fn elsewhere(&mut self, sent: Sent) -> bool {
        let again = sent == Sent::Not && self.left > 0;
        self.left = self.left.saturating_sub(1);
        again
    }

    /// Whether it goes out again on a new connection to the same address, after a kept one failed.
    ///
    /// The upstream may close a kept connection at the moment it is used. Only that is no failure: one that is slow, or
    /// answers nonsense, has the request.
    pub(crate) fn on_a_new_connection(&self, kind: ErrorKind, sent: Sent) -> bool {
        kind == ErrorKind::Closed && (sent == Sent::Not || self.repeatable)
    }
}

fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

#[cfg(test)]
mod tests;
