//! Who is at the other end, when there are proxies between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::header::HeaderName;
use http::request::Parts;
use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedProxies(Vec<IpNet>);

/// An extractor: the client's address as far as [`TrustedProxies`] vouch for it.
///
/// Needs the peer's address ([`ConnectInfo`]) and the [`TrustedProxies`] among the request's
/// extensions, where [`Service`](crate::service::Service) puts both. Without them it is `0.0.0.0`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct ClientAddr(pub IpAddr);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Nobody: the peer is the client.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// This machine.
    #[must_use]
    pub fn loopback() -> Self {
        Self(vec![
            IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
        ])
    }

    /// The networks as given.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    /// Whether `addr` is one of them.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.0.iter().any(|net| net.contains(&addr))
    }

    /// The client of a request that came from `peer`: the right-most address in `X-Forwarded-For`
    /// that is no trusted proxy. What stands left of it was written by the client, and is not believed.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            if !self.contains(client) {
                break;
            }
            // An address that does not parse ends the chain: the hop that wrote it is the last known.
            let Some(addr) = parse_hop(hop.trim()) else { break };
            client = addr;
        }
        client
    }
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let addr = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<std::net::SocketAddr>().map(|a| a.ip()))
        .or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    addr.ok().map(|a| a.to_canonical())
}

impl FromStr for TrustedProxies {
    type Err = &'static str;

    /// Networks (`10.0.0.0/8`) or addresses, separated by commas; `none` for nobody.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::none());
        }
        let net = |t: &str| {
            let t = t.trim();
            t.parse::<IpNet>().or_else(|_| t.parse::<IpAddr>().map(IpNet::from))
        };
        let nets = text.split(',').filter(|t| !t.trim().is_empty()).map(net);
        nets.collect::<Result<Vec<_>, _>>().map(Self).map_err(|_| "is no list of networks such as 10.0.0.0/8")
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<std::net::SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
        let client = parts
            .extensions
            .get::<TrustedProxies>()
            .map_or(peer, |trusted| trusted.client(&parts.headers, peer));
        Ok(Self(client))
    }
}

#[cfg(test)]
mod tests;
