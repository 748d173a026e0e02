//! Whom to believe about where a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::error::Error;
use crate::headers::forwarded;

/// The other end of the connection that a request came on, in the request's extensions.
///
/// [`serve`](crate::server::serve) puts it there; behind another server, a layer of yours does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// Whether the connection is encrypted, which becomes `X-Forwarded-Proto`.
    pub tls: bool,
}

/// The networks of the proxies in front of this one.
///
/// ```
/// use tramline_streaming_proxy::TrustedProxies;
///
/// let trusted: TrustedProxies = "10.0.0.0/8, ::1".parse()?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.9".parse()?);
///
/// // A trusted peer is believed as far as the last address that is not one of ours …
/// assert_eq!(trusted.client(&headers, "10.0.0.1".parse()?).to_string(), "203.0.113.7");
/// // … and nobody else is.
/// assert_eq!(trusted.client(&headers, "192.0.2.1".parse()?).to_string(), "192.0.2.1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

// === impl Peer ===

impl Peer {
    /// A peer on a plain connection.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, tls: false }
    }
}

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Nobody is believed.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Peers on this machine are believed.
    #[must_use]
    pub fn loopback() -> Self {
        let v4 = IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8);
        let v6 = IpNet::new_assert(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]), 128);
        Self { networks: vec![v4, v6] }
    }

    /// Whether `ip` is one of ours. An IPv4 address inside an IPv6 one is the IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// The address of the client whose request came with `headers` from `peer`.
    ///
    /// `X-Forwarded-For`, else `Forwarded`, is read from its end for as long as the addresses are trusted; the first
    /// that is not, is the client. What does not parse ends the reading.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        for hop in forwarded::hops(headers) {
            let Some(ip) = hop else { break };
            client = ip;
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

impl FromStr for TrustedProxies {
    type Err = Error;

    /// Networks and single addresses, separated by commas; nothing is nobody.
    fn from_str(text: &str) -> Result<Self, Error> {
        let networks = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| match part.parse::<IpNet>() {
                Ok(network) => Ok(network.trunc()),
                Err(cause) => part
                    .parse::<IpAddr>()
                    .map(IpNet::from)
                    .map_err(|_| Error::config("not an address or a network").with(cause)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { networks })
    }
}

#[cfg(test)]
mod tests;
