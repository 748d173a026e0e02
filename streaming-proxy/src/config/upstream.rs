//! How an upstream is reached.

use std::time::Duration;

/// How an [`Upstream`](crate::Upstream) is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// For one attempt to connect to one address, name look-up included.
    ///
    /// The default, 2 s, survives one lost SYN (sent again after 1 s).
    pub connect_timeout: Duration,
    /// How many idle connections each address keeps.
    ///
    /// The default, 64, is what nginx's documentation suggests per worker for a busy upstream.
    pub max_idle: usize,
    /// How long a connection may lie idle. A shorter `Keep-Alive: timeout` of the upstream is obeyed, less a second.
    ///
    /// The default, 30 s, is below the keep-alive time of most servers (nginx 75 s, Go and Rust 60 s and more).
    pub idle_timeout: Duration,
    /// How fresh a kept connection must be for a request that cannot be sent again.
    ///
    /// The default, 2 s, is below the shortest keep-alive time in common use (Node, 5 s): a connection that the
    /// upstream is about to close is not offered to a POST.
    pub unsafe_reuse_within: Duration,
    /// How many requests each address serves at once. A tunnel counts until it is open, and in
    /// [`max_tunnels`](Self::max_tunnels) from then on.
    ///
    /// The default, 1024, is Envoy's.
    pub max_in_flight: usize,
    /// How many requests may wait for their turn at one address; one more is answered 503.
    ///
    /// The default, 1024, is Envoy's.
    pub max_waiting: usize,
    /// How long a request waits for its turn before it is answered 503.
    ///
    /// The default, 1 s: what waits longer is better told.
    pub max_wait: Duration,
    /// How many tunnels (WebSockets) all addresses together hold at once; one more upgrade is answered 503.
    ///
    /// The default, 10,000, is all that a proxy holds by default: most have one upstream with tunnels.
    pub max_tunnels: usize,
    /// After how many failures in a row an address is passed over. A refused connection counts at once.
    ///
    /// The default, 3, forgives a single crash of one request.
    pub failures: u32,
    /// How long an address is passed over the first time; it doubles each time, with jitter, up to
    /// [`avoid_max`](Self::avoid_max). Then one request tries it.
    ///
    /// The default is 500 ms: a process that restarts is back within a second.
    pub avoid: Duration,
    /// The longest that an address is passed over.
    ///
    /// The default is 15 s: an address that is back is found again while someone is still looking.
    pub avoid_max: Duration,
}

// === impl UpstreamConfig ===

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            max_idle: 64,
            idle_timeout: Duration::from_secs(30),
            unsafe_reuse_within: Duration::from_secs(2),
            max_in_flight: 1024,
            max_waiting: 1024,
            max_wait: Duration::from_secs(1),
            max_tunnels: 10_000,
            failures: 3,
            avoid: Duration::from_millis(500),
            avoid_max: Duration::from_secs(15),
        }
    }
}
