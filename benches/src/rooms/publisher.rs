//! Who publishes.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use anyhow::Context;

use super::event;
use super::member::Door;

/// A connection to the server's control port, and what was published to which room.
#[derive(Debug)]
pub(super) struct Publisher {
    control: TcpStream,
    rooms: Vec<Room>,
    lines: String,
}

#[derive(Debug)]
struct Room {
    name: String,
    /// The number of its next event.
    next: u64,
}

// === impl Publisher ===

impl Publisher {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If nobody listens.
    pub(super) fn connect(control: SocketAddr, rooms: Vec<String>) -> anyhow::Result<Self> {
        let control = TcpStream::connect(control).context("no control port")?;
        control.set_nodelay(true)?;
        let rooms = rooms.into_iter().map(|name| Room { name, next: 1 }).collect();
        Ok(Self { control, rooms, lines: String::new() })
    }

    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// For whoever comes to the room at this place now.
    pub(super) fn door(&self, place: usize) -> Door<'_> {
        let room = &self.rooms[place];
        Door { name: &room.name, place, next: room.next }
    }

    /// Publishes an event to each of these rooms, in one write; the number of the last one.
    ///
    /// # Errors
    ///
    /// If the server is gone.
    pub(super) fn publish(&mut self, places: impl Iterator<Item = usize>) -> anyhow::Result<u64> {
        self.lines.clear();
        let mut last = 0;
        for place in places {
            let room = &mut self.rooms[place];
            last = room.next;
            room.next += 1;
            self.lines.push_str(&event::line(&room.name, last));
        }
        self.control.write_all(self.lines.as_bytes()).context("cannot publish")?;
        Ok(last)
    }
}
