//! Whom to believe about where a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
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
    /// How many from here on are trusted whatever their addresses.
    hops: usize,
    family: ForwardedFamily,
    writes_host: bool,
    fields: Vec<HeaderName>,
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

    /// The same proxies, and the nearest `hops` ones whatever their addresses: with 1 the peer, with 2 also the one that
    /// it says it was asked by. For fronts whose addresses change, on a network where nobody else reaches this listener:
    /// whoever does is believed.
    #[must_use]
    pub fn with_hops(mut self, hops: usize) -> Self {
        self.hops = hops;
        self
    }

    /// The same proxies, which write the field `name` too: one that is removed otherwise, since it claims what only they
    /// can know, like `cf-connecting-ip` or `client-cert`. Whether they remove their clients' own is their affair.
    #[must_use]
    pub fn with_field(mut self, name: HeaderName) -> Self {
        self.fields.push(name);
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
    /// `X-Forwarded-For`, or `Forwarded` if that is the family, is read from its end for as long as the proxies are
    /// trusted, by address or by place; the first that is not, is the client. What does not parse ends the reading.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client, 0) {
            return client;
        }
        for (before, hop) in forwarded::hops(headers, self.family).into_iter().enumerate() {
            let Some(ip) = hop else { break };
            client = ip;
            if !self.trusts(client, before + 1) {
                break;
            }
        }
        client
    }

    /// Whether what `ip` says is believed; the peer has none before it.
    pub(crate) fn trusts(&self, ip: IpAddr, before: usize) -> bool {
        before < self.hops || self.contains(ip)
    }

    /// What else they write.
    pub(crate) fn fields(&self) -> &[HeaderName] {
        &self.fields
    }

    pub(crate) fn family(&self) -> ForwardedFamily {
        self.family
    }

    pub(crate) fn writes_host(&self) -> bool {
        self.writes_host
    }

    fn new(networks: Vec<IpNet>) -> Self {
        Self { networks, hops: 0, family: ForwardedFamily::default(), writes_host: true, fields: Vec::new() }
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
