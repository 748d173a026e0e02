//! How a route behaves.

use std::time::Duration;

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
    /// From the first byte to the last. Off by default: a long download is not a fault.
    pub total: Option<Duration>,
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            response_header: Some(Duration::from_secs(30)),
            response_idle: Some(Duration::from_secs(60)),
            request_idle: Some(Duration::from_secs(60)),
            total: None,
        }
    }
}
