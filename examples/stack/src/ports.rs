//! The six listeners, bound before anything is derived from their addresses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// The addresses of the system, all on loopback.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the contract has these six")]
pub struct Ports {
    /// The gateway.
    pub gateway: SocketAddr,
    /// The auth service.
    pub auth: SocketAddr,
    /// The payments service.
    pub payments: SocketAddr,
    /// The admin service.
    pub admin: SocketAddr,
    /// The profile service.
    pub profile: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics` of all of them.
    pub ops: SocketAddr,
}

/// The gateway's, the four services', and the admin listener.
pub(crate) type Listeners = ([TcpListener; 5], TcpListener);

/// Binds all of them, or none.
pub(crate) async fn bind(base: u16) -> io::Result<(Ports, Listeners)> {
    let port = |offset: u16| if base == 0 { 0 } else { base.saturating_add(offset) };
    let (gateway, auth, payments) = (listen(port(0)).await?, listen(port(1)).await?, listen(port(2)).await?);
    let (admin, profile, ops) = (listen(port(3)).await?, listen(port(4)).await?, listen(port(100)).await?);
    let ports = Ports {
        gateway: gateway.local_addr()?,
        auth: auth.local_addr()?,
        payments: payments.local_addr()?,
        admin: admin.local_addr()?,
        profile: profile.local_addr()?,
        ops: ops.local_addr()?,
    };
    Ok((ports, ([gateway, auth, payments, admin, profile], ops)))
}

async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))
}
