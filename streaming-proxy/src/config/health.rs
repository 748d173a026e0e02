//! How the health of addresses is watched.

use std::time::Duration;

/// Requests of the proxy's own that find out whether an address is fine.
///
/// Each address is asked by one request at a time, on a connection of its own. It is fine with an answer of 2xx or 3xx.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The target that is asked for by GET, such as `/readyz`.
    pub path: String,
    /// From the end of one check to the next, more or less by a tenth.
    ///
    /// The default, 5 s, finds out within 15 s, and costs each address one request in that time from each proxy.
    pub interval: Duration,
    /// For connection and answer together.
    ///
    /// The default, 2 s, is that of connecting: who does not answer for longer serves nobody.
    pub timeout: Duration,
    /// After how many failed checks in a row requests pass the address over.
    ///
    /// The default, 3, forgives a restart of what answers the check.
    pub unhealthy: u32,
    /// After how many good checks in a row they go there again.
    ///
    /// The default, 2: one may be luck.
    pub healthy: u32,
}

// === impl HealthCheck ===

impl HealthCheck {
    /// Checks of `path`, with the defaults.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy: 3,
            healthy: 2,
        }
    }
}
