//! What is known of one request, and the event that tells it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Method, Request, StatusCode, Uri, Version};
use tokio::time::Instant;

use crate::journal::{Facts, Journal};
use crate::layer::request_id::X_REQUEST_ID;
use crate::metrics::ANSWERED_HERE;

/// One request, until it is dropped, which writes the event.
#[derive(Debug)]
pub(crate) struct Record {
    started: Instant,
    method: Method,
    uri: Uri,
    version: Version,
    request_id: Option<HeaderValue>,
    peer: Option<SocketAddr>,
    client: Option<IpAddr>,
    status: Option<StatusCode>,
    /// What is told when no forwarder behind knows better: none has seen the request, or none its end.
    outcome: &'static str,
    moved: Arc<Moved>,
    journal: Journal,
}

/// Bytes of bodies.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
}

// === impl Record ===

impl Record {
    pub(super) fn new<B>(
        request: &Request<B>,
        peer: Option<SocketAddr>,
        client: Option<IpAddr>,
        journal: Journal,
    ) -> Self {
        Self {
            started: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            request_id: request.headers().get(X_REQUEST_ID).cloned(),
            peer,
            client,
            status: None,
            outcome: "client_gone",
            moved: Arc::default(),
            journal,
        }
    }

    pub(super) fn moved(&self) -> &Arc<Moved> {
        &self.moved
    }

    /// The head of the answer is there.
    pub(super) fn answered(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        // RFC 9112, 6.3: whatever body there is, nobody sends it.
        let bodiless =
            status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if self.method == Method::HEAD || bodiless {
            self.whole();
        }
        self
    }

    /// There is none.
    pub(super) fn failed(mut self) -> Self {
        self.outcome = "failed";
        self
    }

    /// The body of the answer has come to its end.
    pub(super) fn whole(&mut self) {
        if self.status == Some(StatusCode::SWITCHING_PROTOCOLS) {
            self.outcome = "tunnelled";
            return;
        }
        self.outcome = ANSWERED_HERE;
    }

    /// It has broken off.
    pub(super) fn broken(&mut self) {
        self.outcome = "failed";
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Facts { route, upstream, address, attempts, times, outcome } = self.journal.facts();
        let tried = upstream.is_some();
        tracing::info!(
            target: "streaming_proxy::access",
            method = self.method.as_str(),
            path = self.uri.path(),
            version = ?self.version,
            status = self.status.map(|status| status.as_u16()),
            outcome = outcome.unwrap_or(self.outcome),
            bytes_in = self.moved.up.load(Ordering::Relaxed),
            bytes_out = self.moved.down.load(Ordering::Relaxed),
            client = self.client.map(tracing::field::display),
            peer = self.peer.map(tracing::field::display),
            request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok()),
            route = route.as_deref(),
            upstream = upstream.as_deref(),
            address,
            attempts = tried.then_some(attempts),
            queue = tried.then_some(times.queue.as_secs_f64()),
            connect = tried.then_some(times.connect.as_secs_f64()),
            head = tried.then_some(times.head.as_secs_f64()),
            total = self.started.elapsed().as_secs_f64(),
        );
    }
}
