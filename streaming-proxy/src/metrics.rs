//! What is counted. Labels are names of routes and upstreams, as many as the tables have, and fixed words.

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::error::{ErrorKind, ProxyError};

/// The outcome of a request that no upstream was to see.
pub(crate) const ANSWERED_HERE: &str = "answered_here";

/// How an exchange with an upstream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The answer was passed on whole.
    Answered,
    /// The same, and the answer was a 5xx of the upstream's own.
    AnsweredError,
    /// The client left before the end.
    ClientGone,
    /// An upgrade.
    Tunnelled,
    Failed(ErrorKind),
}

/// The handles of one upstream, looked up once.
#[derive(Clone)]
pub(crate) struct UpstreamMetrics {
    pub(crate) in_flight: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) idle: Gauge,
    #[cfg(feature = "http2")]
    pub(crate) http2_streams: Gauge,
    pub(crate) connected: Counter,
    pub(crate) connect_failed: Counter,
}

/// The handles of one route to its upstream, looked up at its first request.
pub(crate) struct RouteMetrics {
    route: Arc<str>,
    upstream: Arc<str>,
    answered: Counter,
    answered_error: Counter,
    client_gone: Counter,
    tunnelled: Counter,
    pub(crate) seconds: Histogram,
}

/// Counts a request that was refused before it had a route.
pub(crate) fn refused(error: &ProxyError) {
    requests("none", "none", error.kind().label()).increment(1);
}

/// Counts a request that this proxy has answered as the last recipient.
pub(crate) fn answered_here() {
    requests("none", "none", ANSWERED_HERE).increment(1);
}

fn requests(route: &str, upstream: &str, outcome: &'static str) -> Counter {
    let (route, upstream) = (route.to_owned(), upstream.to_owned());
    counter!("streaming_proxy.requests", "route" => route, "upstream" => upstream, "outcome" => outcome)
}

// === impl Outcome ===

impl Outcome {
    /// The name in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::AnsweredError => "answered_error",
            Self::ClientGone => "client_gone",
            Self::Tunnelled => "tunnelled",
            Self::Failed(kind) => kind.label(),
        }
    }
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    pub(crate) fn new(name: &Arc<str>) -> Self {
        let label = || name.to_string();
        let connects = |result: &'static str| counter!("streaming_proxy.connects", "upstream" => label(), "result" => result);
        Self {
            in_flight: gauge!("streaming_proxy.in_flight", "upstream" => label()),
            waiting: gauge!("streaming_proxy.waiting", "upstream" => label()),
            idle: gauge!("streaming_proxy.connections.idle", "upstream" => label()),
            #[cfg(feature = "http2")]
            http2_streams: gauge!("streaming_proxy.http2.streams", "upstream" => label()),
            connected: connects("ok"),
            connect_failed: connects("failed"),
        }
    }
}

// === impl RouteMetrics ===

impl RouteMetrics {
    pub(crate) fn new(route: &str, upstream: &Arc<str>) -> Self {
        let requests = |outcome: Outcome| requests(route, upstream, outcome.label());
        let (label, of) = (route.to_owned(), upstream.to_string());
        Self {
            answered: requests(Outcome::Answered),
            answered_error: requests(Outcome::AnsweredError),
            client_gone: requests(Outcome::ClientGone),
            tunnelled: requests(Outcome::Tunnelled),
            seconds: histogram!("streaming_proxy.request.duration", "route" => label, "upstream" => of),
            route: route.into(),
            upstream: upstream.clone(),
        }
    }

    pub(crate) fn route(&self) -> &Arc<str> {
        &self.route
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::Answered => self.answered.increment(1),
            Outcome::AnsweredError => self.answered_error.increment(1),
            Outcome::ClientGone => self.client_gone.increment(1),
            Outcome::Tunnelled => self.tunnelled.increment(1),
            // Rare enough to look the handle up.
            Outcome::Failed(_) => requests(&self.route, &self.upstream, outcome.label()).increment(1),
        }
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMetrics").field("route", &self.route).finish_non_exhaustive()
    }
}
