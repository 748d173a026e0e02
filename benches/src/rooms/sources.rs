//! Where members come from: one address has ports for some twenty thousand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, Socket, Type};

/// Members of one address.
const EACH: usize = 4000;

/// A server that says nothing for so long hangs.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// Opens the connection of the member of this number; it blocks, for [`SILENCE`] at most.
///
/// # Errors
///
/// If the server does not take it.
pub(super) fn connect(
    server: SocketAddr,
    member: usize,
    receive_buffer: Option<usize>,
) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let IpAddr::V4(server) = server.ip()
        && server.is_loopback()
    {
        // Else a port is searched for that nobody uses, and thousands of those before are in TIME_WAIT.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::from((address(member), 0)).into()).context("no port is left")?;
    }
    socket.connect(&server.into()).context("cannot connect")?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(SILENCE))?;
    Ok(socket.into())
}

/// All of 127.0.0.0/8 is this machine.
fn address(member: usize) -> Ipv4Addr {
    let number = u8::try_from(member / EACH).map_or(u8::MAX, |number| number.saturating_add(1));
    Ipv4Addr::new(127, 0, 0, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_has_more_than_its_share() {
        assert_eq!(address(0), Ipv4Addr::LOCALHOST);
        assert_eq!(address(EACH - 1), address(0));
        assert_eq!(address(15_000), Ipv4Addr::new(127, 0, 0, 4));
    }
}
