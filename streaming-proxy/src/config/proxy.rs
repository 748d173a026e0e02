//! How a forwarder behaves.

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
    /// How many bytes of a request's body are kept so that it can be sent again, if its method may be repeated. A longer
    /// body is passed on, and sent once.
    ///
    /// The default, 64 KiB, holds what forms and JSON documents have, and is linkerd's.
    pub max_replay: usize,
    /// How many bytes all requests together keep so. When it is full, bodies are passed on, and sent once.
    ///
    /// The default is 16 MiB: 256 bodies of the longest kind at the same moment.
    pub max_replay_total: usize,
    /// Which `Host` the upstream sees.
    pub host: HostHeader,
    /// How many bytes the names and values of a request's fields may have together; with more it is answered 431.
    ///
    /// The default, 64 KiB, is eight times the longest head that common servers accept. The server of this crate reads
    /// up to [`max_buffer`](crate::server::ServerConfig::max_buffer) of one.
    pub max_head: usize,
    /// This proxy's name in `Via`, in requests and answers (RFC 9110, 7.6.3). A request that says it already was here
    /// before, and is answered 508. `None` writes nothing and finds no loops. Of a name, letters, digits, `-`, `_` and `.`
    /// are kept; nothing left is `None`.
    ///
    /// The default is `tramline-` and eight random digits: two proxies of one name in a row would be taken for a loop.
    /// nginx as an upstream compresses nothing for requests with this field, unless `gzip_proxied` says so.
    pub via: Option<String>,
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

// === impl ProxyConfig ===

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            trusted: TrustedProxies::none(),
            upgrades: vec!["websocket".to_owned()],
            tunnel_idle: Some(Duration::from_secs(600)),
            max_tunnels: 10_000,
            max_replay: 64 * 1024,
            max_replay_total: 16 * 1024 * 1024,
            host: HostHeader::default(),
            max_head: 64 * 1024,
            via: Some(format!("tramline-{:08x}", rand::random::<u32>())),
        }
    }
}
