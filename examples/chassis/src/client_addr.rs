//! Who is at the other end, when there are proxies between.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;
use tramline_streaming_proxy::TrustedProxies;

/// An extractor: the client's address as far as [`TrustedProxies`] vouch for it.
///
/// Needs the peer's address ([`ConnectInfo`]) and the [`TrustedProxies`] among the request's
/// extensions, where [`Service`](crate::service::Service) puts both. Without them it is `0.0.0.0`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct ClientAddr(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
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
