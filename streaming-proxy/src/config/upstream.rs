//! How an upstream is reached.

use std::time::Duration;

use crate::config::{Balance, HealthCheck};
#[cfg(feature = "tls")]
use crate::upstream::tls::Roots;

/// How an [`Upstream`](crate::Upstream) is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// The version of HTTP that it is spoken to in.
    pub version: HttpVersion,
    /// How HTTP/2 is spoken to it.
    #[cfg(feature = "http2")]
    pub http2: UpstreamHttp2,
    /// Whose word on the certificates of `https` addresses is taken.
    ///
    /// The default is the public authorities.
    #[cfg(feature = "tls")]
    pub roots: Roots,
    /// For the handshake of TLS, after the connect.
    ///
    /// The default, 2 s, is that of a connect: it takes two round trips at most, and may lose a packet.
    #[cfg(feature = "tls")]
    pub tls_timeout: Duration,
    /// For one attempt to connect to one address, name look-up included.
    ///
    /// The default, 2 s, survives one lost SYN (sent again after 1 s).
    pub connect_timeout: Duration,
    /// From the end of one look-up of a name to the next, more or less by a tenth. Each address that it has is one of the
    /// upstream's; what a look-up does not find stays.
    ///
    /// The default, 5 s, is Envoy's: nobody says how long an answer holds, and new replicas want to be found.
    pub resolve_every: Duration,
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
    /// Which of its addresses serves a request.
    pub balance: Balance,
    /// After how many answers of 5xx without a good one between them an address is passed over.
    ///
    /// The default is never: errors come from what is asked as often as from who is asked, and then they come from all.
    pub server_errors: Option<u32>,
    /// How many of a hundred addresses may be out when one more is passed over because of how it answers; never all of
    /// several. Those that cannot be reached, or that checks are against, are out without such a bound, and count: the
    /// rest has to bear the load, whatever the others are out for. With [`fail_fast`](Self::fail_fast) there is no bound.
    ///
    /// The default, 50: when more are bad, it is not the addresses, and the rest would not bear the load.
    pub max_ejected: u32,
    /// Whether requests are answered 503 at once while all addresses are passed over, but for the one in each address's
    /// turn that tries it: a circuit breaker.
    ///
    /// Off by default: they go on trying then, and the first moment at which an address is back is a good one. On it is
    /// better for upstreams that hang, where each try costs its client the whole time limit.
    pub fail_fast: bool,
    /// In which time an address that is new, or back, comes to its whole share, in proportion to the time. Not with a
    /// balance by a key.
    ///
    /// Off by default: it is for services that start cold.
    pub slow_start: Option<Duration>,
    /// Checks of each address by requests of the proxy's own.
    ///
    /// Off by default: what to ask for is the service's to say.
    pub health_check: Option<HealthCheck>,
    /// Whether there is a limit for the requests that wait for the head of their answer, all addresses together, which
    /// moves with how fast heads come: between 16 and [`max_in_flight`](Self::max_in_flight). One more is answered 503 at
    /// once; by [`Priority`](crate::config::Priority), the least important first.
    ///
    /// Off by default: it believes that who answers more slowly than usual has too much to do, which is not true of every
    /// upstream. What is usual the first requests say, all of them, up to five seconds each after the last of them has begun; until
    /// then it starts at 64, and only failures move it. An
    /// upstream that is crowded from the first moment on is taken to be usually so slow, for half a minute.
    pub adaptive_limit: bool,
    /// How many of its requests may go out again.
    pub retry_budget: RetryBudget,
}

/// How many requests of an upstream may go out again: a share of all, and some more.
///
/// What is over it is answered as it failed first. A kept connection that was closed costs nothing of it: that is
/// no sign of a failing upstream, and goes to the same address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// How many retries a hundred requests bring. At most a thousand are saved.
    ///
    /// The default, 20, is Finagle's and linkerd's: an outage makes at most a fifth more load.
    pub percent: u32,
    /// How many a second there are besides, for upstreams with few requests. They add up for ten seconds.
    ///
    /// The default, 10, is Finagle's and linkerd's.
    pub per_second: u32,
}

/// Which version of HTTP an upstream is spoken to in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum HttpVersion {
    /// With TLS what both sides speak (ALPN), HTTP/2 before HTTP/1.1; without TLS HTTP/1.1. A request that wants to
    /// upgrade (WebSocket) gets a connection of HTTP/1.1 in any case.
    #[default]
    Negotiated,
    /// HTTP/1.1, always.
    Http1,
    /// HTTP/2, always: without TLS by prior knowledge (h2c), as gRPC servers have it.
    #[cfg(feature = "http2")]
    Http2,
}

/// How HTTP/2 is spoken to an upstream.
#[cfg(feature = "http2")]
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UpstreamHttp2 {
    /// How many connections each address may have. A further one is opened when the streams of all are taken; at the
    /// bound requests wait for a stream as they wait for their turn ([`UpstreamConfig::max_wait`]).
    ///
    /// The default, 16, lets [`max_in_flight`](UpstreamConfig::max_in_flight) requests go at once where an upstream
    /// allows the usual hundred streams.
    pub max_connections: usize,
    /// How often an upstream is asked whether it is still there (PING), if nothing else comes from it. `None` is never.
    ///
    /// The default is 15 s: with the time for the answer less than the 30 s that a request waits for a head, so that a
    /// machine that vanished is found before its requests give up.
    pub ping_interval: Option<Duration>,
    /// How long it may take to answer that before the connection is closed.
    ///
    /// The default is 10 s.
    pub ping_timeout: Duration,
}

// === impl UpstreamHttp2 ===

#[cfg(feature = "http2")]
impl Default for UpstreamHttp2 {
    fn default() -> Self {
        Self {
            max_connections: 16,
            ping_interval: Some(Duration::from_secs(15)),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

// === impl UpstreamConfig ===

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            version: HttpVersion::default(),
            #[cfg(feature = "http2")]
            http2: UpstreamHttp2::default(),
            #[cfg(feature = "tls")]
            roots: Roots::default(),
            #[cfg(feature = "tls")]
            tls_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            resolve_every: Duration::from_secs(5),
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
            balance: Balance::default(),
            server_errors: None,
            max_ejected: 50,
            fail_fast: false,
            slow_start: None,
            health_check: None,
            adaptive_limit: false,
            retry_budget: RetryBudget::default(),
        }
    }
}

// === impl RetryBudget ===

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20, per_second: 10 }
    }
}
