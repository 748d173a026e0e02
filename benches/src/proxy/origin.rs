//! What stands behind the proxies: small answers, a sink, a source, and what arrived.

mod connection;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use self::connection::{Connection, Wants};
use super::PIECE;

/// The listener's number; connections follow.
const LISTENER: u64 = 0;

/// Serves until it is killed. A connection that misbehaves is closed: the proxy in front has to tell of that.
pub(super) fn run(addr: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(addr).context("cannot listen")?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut connections = HashMap::new();
    let mut next = LISTENER + 1;
    let mut buffer = vec![0; PIECE];
    let mut events = [EpollEvent::empty(); 128];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("epoll"),
        };
        for event in &events[..ready] {
            let number = event.data();
            if number == LISTENER {
                accept(&listener, &epoll, &mut connections, &mut next)?;
                continue;
            }
            let Some(connection) = connections.get_mut(&number) else { continue };
            let wanted = connection.wants();
            match connection.go_on(&mut buffer) {
                Ok(()) if connection.wants() == wanted => {}
                Ok(()) => {
                    let mut event = interest(number, connection);
                    epoll.modify(connection.stream(), &mut event)?;
                }
                // Closing it takes it from epoll too.
                Err(_) => _ = connections.remove(&number),
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    epoll: &Epoll,
    connections: &mut HashMap<u64, Connection>,
    next: &mut u64,
) -> anyhow::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let connection = Connection::new(stream)?;
                epoll.add(connection.stream(), interest(*next, &connection))?;
                connections.insert(*next, connection);
                *next += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
}

fn interest(number: u64, connection: &Connection) -> EpollEvent {
    let flags = match connection.wants() {
        Wants::Read => EpollFlags::EPOLLIN,
        Wants::Write => EpollFlags::EPOLLOUT,
    };
    EpollEvent::new(flags, number)
}
