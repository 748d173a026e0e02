//! Whom to believe about where a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::error::ProxyError;
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

/// The networks of the proxies in front of this one, and what those proxies write.
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
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    family: ForwardedFamily,
    writes_host: bool,
}

/// The forwarding headers that trusted proxies write. Those of the other family are their clients', and not believed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ForwardedFamily {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, as nearly all write.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
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
        Self::new(Vec::new())
    }

    /// Peers on this machine are believed.
    #[must_use]
    pub fn loopback() -> Self {
        let v4 = IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8);
        let v6 = IpNet::new_assert(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]), 128);
        Self::new(vec![v4, v6])
    }

    /// The same proxies, which write this family. The default is [`ForwardedFamily::XForwarded`].
    #[must_use]
    pub fn with_family(mut self, family: ForwardedFamily) -> Self {
        self.family = family;
        self
    }

    /// The same proxies, which pass on `X-Forwarded-Host` as the client wrote it (AWS's balancers do): it is written
    /// anew from `Host`. Of no matter for [`ForwardedFamily::Forwarded`].
    #[must_use]
    pub fn without_host(mut self) -> Self {
        self.writes_host = false;
        self
    }

    /// Whether `ip` is one of ours. An IPv4 address inside an IPv6 one is the IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// The address of the client whose request came with `headers` from `peer`.
    ///
    /// `X-Forwarded-For`, or `Forwarded` if that is the family, is read from its end for as long as the addresses are
    /// trusted; the first that is not, is the client. What does not parse ends the reading.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        for hop in forwarded::hops(headers, self.family) {
            let Some(ip) = hop else { break };
            client = ip;
            if !self.contains(client) {
                break;
            }
        }
        client
    }

    pub(crate) fn family(&self) -> ForwardedFamily {
        self.family
    }

    pub(crate) fn writes_host(&self) -> bool {
        self.writes_host
    }

    fn new(networks: Vec<IpNet>) -> Self {
        Self { networks, family: ForwardedFamily::default(), writes_host: true }
    }
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self::none()
    }
}

impl FromStr for TrustedProxies {
    type Err = ProxyError;

    /// Networks and single addresses, separated by commas; nothing, and the word `none`, is nobody.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        if text.trim() == "none" {
            return Ok(Self::none());
        }
        let networks = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| match part.parse::<IpNet>() {
                Ok(network) => Ok(network.trunc()),
                Err(cause) => part
                    .parse::<IpAddr>()
                    .map(IpNet::from)
                    .map_err(|_| ProxyError::config("not an address or a network").with(cause)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::new(networks))
    }
}

#[cfg(test)]
mod tests;
