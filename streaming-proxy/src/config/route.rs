//! How a route behaves.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

/// The times of one route. `None` is off.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the last byte of the request that the upstream took to the head of its answer.
    ///
    /// The default, 30 s, is what browsers' users and load balancers in front wait at most.
    pub response_header: Option<Duration>,
    /// Between two pieces of the upstream's body, while the client is reading.
    ///
    /// The default, 60 s, is nginx's.
    pub response_idle: Option<Duration>,
    /// Between two pieces of the client's body, while the upstream is reading.
    ///
    /// The default, 60 s, is nginx's.
    pub request_idle: Option<Duration>,
    /// How long the upstream may take to ask for a body whose client waits to be asked (`Expect: 100-continue`), before
    /// the body goes unasked. `None`: until it answers.
    ///
    /// The default, 1 s, is curl's: many servers do not know what they are asked.
    pub expect_continue: Option<Duration>,
    /// From the first byte to the last. Off by default: a long download is not a fault.
    pub total: Option<Duration>,
}

/// When a request of one route goes out again, to another address where there is one.
///
/// A request of which nothing was sent may go out again; one of which something was, only if its method may be repeated
/// (GET, HEAD, OPTIONS, PUT, DELETE) and its body is still there ([`ProxyConfig::max_replay`](crate::ProxyConfig::max_replay)).
/// Each time takes a retry out of the upstream's budget ([`RetryBudget`](crate::config::RetryBudget)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Retries {
    /// How many tries a request has, the first included; with 1 it has no other.
    ///
    /// The default, 3: a client waits at most three connect timeouts.
    pub attempts: usize,
    /// After which answers it goes out again. To the same address only where the answer says in `Retry-After` when, and
    /// that is within a second.
    ///
    /// The default is none: only who knows the upstream knows what its errors mean. 502, 503 and 504 are those that say
    /// nothing about the request.
    pub statuses: Vec<StatusCode>,
}

/// Which requests are refused last when an upstream has more than it bears
/// ([`UpstreamConfig::adaptive_limit`](crate::UpstreamConfig::adaptive_limit)).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "config",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Priority {
    /// Four fifths of the limit are for these.
    #[default]
    Normal,
    /// These, such as signing in, may have a tenth more: who is refused here does nothing else.
    High,
    /// These, such as checks of health, may have all: when they fail, others take the service away.
    Critical,
}

// === impl Priority ===

impl fmt::Display for Priority {
    /// As it is written in a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

// === impl Retries ===

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, statuses: Vec::new() }
    }
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            response_header: Some(Duration::from_secs(30)),
            response_idle: Some(Duration::from_secs(60)),
            request_idle: Some(Duration::from_secs(60)),
            expect_continue: Some(Duration::from_secs(1)),
            total: None,
        }
    }
}
