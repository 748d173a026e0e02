//! What becomes of a try, for the address it was made at.

use http::StatusCode;
use tokio::time::{Duration, Instant};

use crate::body::upload::Progress;
use crate::error::{ErrorKind, ProxyError};
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::Failure;

/// One try. When it is dropped before it has ended, its client has given up waiting.
pub(super) struct Watched<'a> {
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
    /// `None` where nobody wants to know, or it has ended.
    started: Option<Instant>,
    has_body: bool,
}

/// What a failure counts as that came fast: an address that fails at once must not be the fastest.
const FAILED: Duration = Duration::from_secs(1);

// === impl Watched ===

impl<'a> Watched<'a> {
    pub(super) fn new(upstream: &'a Upstream, endpoint: &'a Endpoint, has_body: bool) -> Self {
        let measured = upstream.has_several() || upstream.resilience().has_limit();
        Self { upstream, endpoint, started: measured.then(Instant::now), has_body }
    }

    /// The head of an answer has come; to a body that has come so far.
    /// Returns how long it took, where that is measured.
    pub(super) fn answered(mut self, status: StatusCode, upload: Option<&Progress>) -> Option<Duration> {
        // An answer that says «not now» or «I am broken» is no sign that the address is fine again.
        let error = status.is_server_error();
        if error {
            if self.upstream.config().server_errors.is_some() {
                self.judge(Failure::ServerError, &status);
            }
        } else {
            self.endpoint.health.succeeded();
        }
        // How long the client's body took is not the address's doing.
        let since =
            |started: Instant| upload.map_or(started, |upload| started.max(upload.upstream_owes_since()));
        let took = since(self.started.take()?).elapsed();
        if error {
            self.endpoint.latency.at_least(took.max(FAILED));
        } else {
            self.endpoint.latency.answered(took);
        }
        Some(took)
    }

    pub(super) fn failed(mut self, error: &ProxyError) {
        let failure = match error.kind() {
            ErrorKind::ConnectFailed | ErrorKind::ConnectTimeout | ErrorKind::TlsFailed => {
                Failure::Unreachable
            }
            ErrorKind::BadResponse | ErrorKind::Closed | ErrorKind::ResponseTimeout => Failure::Unanswered,
            // The client's fault, or a bound of ours.
            _ => {
                self.started = None;
                return;
            }
        };
        self.judge(failure, error);
        if let Some(started) = self.started.take() {
            self.endpoint.latency.at_least(started.elapsed().max(FAILED));
        }
    }

    fn judge(&self, failure: Failure, cause: &dyn std::fmt::Display) {
        if self.endpoint.health.failed(failure, self.upstream.may_eject()) {
            self.upstream.resilience().metrics.avoided.increment(1);
            tracing::warn!(
                upstream = self.upstream.name(),
                address = self.endpoint.authority(),
                %cause,
                "address is passed over"
            );
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if let Some(started) = self.started.filter(|_| !self.has_body) {
            self.endpoint.latency.at_least(started.elapsed());
        }
    }
}
