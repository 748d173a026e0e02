//! What the kernel holds of what a server has sent: `/proc/net/tcp`.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};

/// Bytes that a server's kernel holds for each of these peers: none for one that has no connection any more.
///
/// # Errors
///
/// If there is no such file, or it is not understood.
pub(super) fn waiting(server: SocketAddr, peers: &[SocketAddr]) -> anyhow::Result<Vec<Option<u64>>> {
    let IpAddr::V4(_) = server.ip() else { bail!("only for a server on IPv4") };
    let table = fs::read_to_string("/proc/net/tcp").context("the kernel's sockets")?;
    let all = parse(&table, server)?;
    Ok(peers.iter().map(|peer| all.get(peer).copied()).collect())
}

/// The mean.
pub(super) fn mean(bytes: &[u64]) -> u64 {
    bytes.iter().sum::<u64>() / u64::try_from(bytes.len()).unwrap_or(u64::MAX).max(1)
}

/// The state of a connection that neither side has closed.
const ESTABLISHED: &str = "01";

/// Of each peer of this server, what waits for it.
fn parse(table: &str, server: SocketAddr) -> anyhow::Result<HashMap<SocketAddr, u64>> {
    let mut all = HashMap::new();
    for line in table.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let mut next = || fields.next().with_context(|| format!("a short line: {line}"));
        let (local, remote, state, queues) = (next()?, next()?, next()?, next()?);
        if state == ESTABLISHED && address(local)? == server {
            let (sending, _) = queues.split_once(':').context("no queues")?;
            all.insert(address(remote)?, u64::from_str_radix(sending, 16)?);
        }
    }
    Ok(all)
}

/// An address as the kernel writes it: a number in the machine's order, and a port.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let (ip, port) = text.split_once(':').context("no address")?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16)?.to_ne_bytes());
    Ok(SocketAddr::from((ip, u16::from_str_radix(port, 16)?)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_nobody_reads_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let (reads, stuck) = (TcpStream::connect(server).unwrap(), TcpStream::connect(server).unwrap());
        let peers = [reads.local_addr().unwrap(), stuck.local_addr().unwrap()];
        let (_first, (mut second, _)) = (listener.accept().unwrap(), listener.accept().unwrap());
        assert_eq!(waiting(server, &peers).unwrap(), [Some(0), Some(0)]);
        second.set_nonblocking(true).unwrap();
        // More than both kernels' sides take.
        while second.write(&[0; 64 * 1024]).is_ok() {}
        let full = waiting(server, &peers).unwrap();
        assert_eq!(full[0], Some(0));
        assert!(full[1].unwrap() > 0);
        drop(stuck);
        drop(second);
        assert_eq!(waiting(server, &peers).unwrap()[1], None, "closed");
    }
}
