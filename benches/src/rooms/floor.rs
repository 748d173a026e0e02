//! The floor: an epoll loop that sends each event to each member by itself, and does nothing else.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, bail, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::dialect::{ACCEPT, KEY};
use super::frames;

/// The listeners' numbers; connections follow.
const MEMBERS: u64 = 0;
const CONTROL: u64 = 1;

struct Floor {
    epoll: Epoll,
    connections: HashMap<u64, Connection>,
    next: u64,
    rooms: HashMap<String, Vec<u64>>,
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    kind: Kind,
}

enum Kind {
    /// A handshake comes.
    Coming,
    Member,
    /// Says what is published.
    Publisher,
}

/// Serves until it is killed.
pub(super) fn run(members: SocketAddr, control: SocketAddr) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll")?;
    let listen = |addr, number| {
        let listener = TcpListener::bind(addr).context("cannot listen")?;
        listener.set_nonblocking(true)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        anyhow::Ok(listener)
    };
    let (members, control) = (listen(members, MEMBERS)?, listen(control, CONTROL)?);
    let mut floor = Floor { epoll, connections: HashMap::new(), next: CONTROL + 1, rooms: HashMap::new() };
    let mut buffer = vec![0; 64 * 1024];
    let mut events = [EpollEvent::empty(); 128];
    loop {
        let ready = match floor.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("epoll"),
        };
        for event in &events[..ready] {
            match event.data() {
                MEMBERS => floor.accept(&members, || Kind::Coming)?,
                CONTROL => floor.accept(&control, || Kind::Publisher)?,
                number => {
                    if floor.read(number, &mut buffer).is_err() {
                        // Closing it takes it from epoll too; its room finds out.
                        floor.connections.remove(&number);
                    }
                }
            }
        }
    }
}

// === impl Floor ===

impl Floor {
    fn accept(&mut self, listener: &TcpListener, kind: impl Fn() -> Kind) -> anyhow::Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, self.next))?;
                    let connection = Connection { stream, read: Vec::new(), kind: kind() };
                    self.connections.insert(self.next, connection);
                    self.next += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept"),
            }
        }
    }

    /// Takes what a connection says; an error ends it.
    fn read(&mut self, number: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let read = match connection.stream.read(buffer) {
            Ok(0) => bail!("its end"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match connection.kind {
            // A close; nobody says anything else.
            Kind::Member => bail!("a member has left"),
            Kind::Coming => {
                connection.read.extend_from_slice(&buffer[..read]);
                if let Some(room) = connection.shake_hands()? {
                    self.rooms.entry(room).or_default().push(number);
                }
            }
            Kind::Publisher => {
                connection.read.extend_from_slice(&buffer[..read]);
                let Some(end) = connection.read.iter().rposition(|byte| *byte == b'\n') else {
                    return Ok(());
                };
                let lines: Vec<u8> = connection.read.drain(..=end).collect();
                for line in String::from_utf8(lines)?.lines() {
                    let mut parts = line.splitn(3, ' ');
                    let (room, event) = (parts.next().unwrap_or_default(), parts.nth(1).context("no event")?);
                    self.publish(room, event);
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self, room: &str, event: &str) {
        let frame = frames::unmasked_text(event.as_bytes());
        let Some(members) = self.rooms.get_mut(room) else { return };
        members.retain(|number| {
            let Some(connection) = self.connections.get_mut(number) else { return false };
            match connection.stream.write(&frame) {
                Ok(written) if written == frame.len() => true,
                // Whoever does not read is cut: there is no queue here.
                Ok(_) | Err(_) => {
                    self.connections.remove(number);
                    false
                }
            }
        });
    }
}

// === impl Connection ===

impl Connection {
    /// Answers a handshake once it is whole; the room that its path names.
    fn shake_hands(&mut self) -> anyhow::Result<Option<String>> {
        if !self.read.ends_with(b"\r\n\r\n") {
            return Ok(None);
        }
        let head = String::from_utf8(std::mem::take(&mut self.read))?;
        ensure!(head.contains(KEY), "a key that this program cannot answer");
        let path = head.split(' ').nth(1).context("no path")?;
        let room = path.strip_prefix("/ws/").context("no room")?.to_owned();
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )
        .into_bytes();
        answer.extend(frames::unmasked_text(b"joined"));
        self.stream.write_all(&answer)?;
        self.kind = Kind::Member;
        Ok(Some(room))
    }
}
