//! How a [`Forwarder`](crate::Forwarder) and its routes behave.

use std::time::Duration;

use crate::trust::TrustedProxies;

/// How a [`Forwarder`](crate::Forwarder) behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyConfig {
    /// The peers whose forwarding headers are believed and added to. From all others they are replaced.
    ///
    /// The default is none: a proxy that believes by default is one header away from a forged address.
    pub trusted: TrustedProxies,
    /// The protocols, in lower case, that a client may upgrade to.
    ///
    /// The default is `websocket`. Never `h2c`: requests inside it would pass unchecked.
    pub upgrades: Vec<String>,
    /// How long a tunnel may carry nothing in either direction.
    ///
    /// The default, ten minutes, outlasts every heartbeat in use (30 s to 5 min), and frees what a peer that
    /// vanished without a word would hold forever.
    pub tunnel_idle: Option<Duration>,
    /// How many tunnels may be open at once; one more upgrade is answered 503.
    ///
    /// The default, 10,000, costs about 160 MiB of copy buffers when all of them are full.
    pub max_tunnels: usize,
    /// How many different addresses a request tries when none of it was sent, the first included.
    ///
    /// The default, 3: a client waits at most three connect timeouts.
    pub attempts: usize,
    /// Which `Host` the upstream sees.
    pub host: HostHeader,
    /// How many bytes the names and values of a request's fields may have together; with more it is answered 431.
    ///
    /// The default, 64 KiB, is what the server of this crate reads at most; others let more through.
    pub max_head: usize,
}

/// Which `Host` an upstream sees. The client's own is in `X-Forwarded-Host` either way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum HostHeader {
    /// The client's.
    Preserve,
    /// The upstream's address, as nginx does by default: an upstream that routes by host finds itself.
    #[default]
    Upstream,
}

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

/// How an [`Upstream`](crate::Upstream) is reached.
#[derive(Clone, Debug)]
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

// === impl ProxyConfig ===

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            trusted: TrustedProxies::none(),
            upgrades: vec!["websocket".to_owned()],
            tunnel_idle: Some(Duration::from_secs(600)),
            max_tunnels: 10_000,
            attempts: 3,
            host: HostHeader::default(),
            max_head: 64 * 1024,
        }
    }
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
