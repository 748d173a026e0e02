//! What is counted. Labels are upstream names and fixed words.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::error::{ErrorKind, ProxyError};

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
    name: Arc<str>,
    answered: Counter,
    answered_error: Counter,
    client_gone: Counter,
    tunnelled: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) in_flight: Gauge,
    pub(crate) idle: Gauge,
    pub(crate) connected: Counter,
    pub(crate) connect_failed: Counter,
}

/// Counts a request that was refused before it had an upstream.
pub(crate) fn refused(error: &ProxyError) {
    counter!("streaming_proxy.requests", "upstream" => "none", "outcome" => error.kind().label())
        .increment(1);
}

/// Counts a request that this proxy has answered as the last recipient.
pub(crate) fn answered_here() {
    counter!("streaming_proxy.requests", "upstream" => "none", "outcome" => "answered").increment(1);
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    pub(crate) fn new(name: &Arc<str>) -> Self {
        let label = || name.to_string();
        let requests = |outcome: &'static str| counter!("streaming_proxy.requests", "upstream" => label(), "outcome" => outcome);
        let connects = |result: &'static str| counter!("streaming_proxy.connects", "upstream" => label(), "result" => result);
        Self {
            answered: requests("answered"),
            answered_error: requests("answered_error"),
            client_gone: requests("client_gone"),
            tunnelled: requests("tunnelled"),
            seconds: histogram!("streaming_proxy.request.duration", "upstream" => label()),
            in_flight: gauge!("streaming_proxy.in_flight", "upstream" => label()),
            idle: gauge!("streaming_proxy.connections.idle", "upstream" => label()),
            connected: connects("ok"),
            connect_failed: connects("failed"),
            name: name.clone(),
        }
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::Answered => self.answered.increment(1),
            Outcome::AnsweredError => self.answered_error.increment(1),
            Outcome::ClientGone => self.client_gone.increment(1),
            Outcome::Tunnelled => self.tunnelled.increment(1),
            // Rare enough to look the handle up.
            Outcome::Failed(kind) => {
                let upstream = self.name.to_string();
                counter!("streaming_proxy.requests", "upstream" => upstream, "outcome" => kind.label())
                    .increment(1);
            }
        }
    }
}
