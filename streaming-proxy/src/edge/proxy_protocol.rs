//! The PROXY protocol, versions 1 and 2: how a TCP balancer says whose connection it passes on.
//!
//! A header of that protocol claims an address, so it is read only from fronts that are trusted to write one, and there
//! it is required, as the specification asks ("must not try to guess"): a connection without one is closed. The client
//! that it names is the request's [`Peer`](crate::Peer), counts in
//! [`max_connections_per_address`](crate::server::ServerConfig::max_connections_per_address), and is trusted or not as
//! if it had connected itself.
//!
//! What follows the addresses in version 2 (TLVs) is skipped. `LOCAL`, `UNKNOWN`, and families without an address of
//! the internet leave the connection to the front: its health checks come so.
//!
//! Specification: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

mod header;
pub(crate) mod read;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::trust::TrustedProxies;

/// Whose headers are read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyProtocol {
    /// The fronts that begin each connection with a header.
    pub from: TrustedProxies,
    /// What becomes of connections from elsewhere.
    pub others: Others,
    /// How long a front may take for its header before the connection is closed.
    ///
    /// The default, 5 s, survives two lost packets; fronts send it at once.
    pub timeout: Duration,
}

/// Connections that come from no front.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Others {
    /// They are closed. The default: who fronts a listener wants nobody beside the front.
    #[default]
    Refuse,
    /// They are served as what they are; a header from them is no HTTP, and answered 400.
    Serve,
}

// === impl ProxyProtocol ===

impl ProxyProtocol {
    /// Headers are required from these, and nobody else is served.
    #[must_use]
    pub fn new(from: TrustedProxies) -> Self {
        Self { from, others: Others::default(), timeout: Duration::from_secs(5) }
    }

    /// The client whose connection this is; what follows the header is not read.
    pub(crate) async fn read(&self, stream: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
        if !self.from.contains(peer.ip()) {
            return match self.others {
                Others::Serve => Ok(peer),
                Others::Refuse => Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a trusted front")),
            };
        }
        match tokio::time::timeout(self.timeout, read::header(stream)).await {
            Ok(header) => Ok(header?.unwrap_or(peer)),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no header in time")),
        }
    }
}
