//! Who publishes.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

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

/// The number of the first event. A server may have heard another run, and ours takes an event of an id that it has had for
/// a repetition: so it is one of this second, of which each has ten thousand.
fn first() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
    Ok(now.as_secs() % SECONDS * EACH_SECOND + 1)
}

/// More than a room has events in a second.
const EACH_SECOND: u64 = 10_000;

/// As many seconds as numbers of ten digits have room for.
const SECONDS: u64 = 900_000;

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
        let next = first()?;
        let rooms = rooms.into_iter().map(|name| Room { name, next }).collect();
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
        self.write(places, event::text)
    }

    /// Publishes so many [large](event::bulk) events to the room at this place, in one write.
    ///
    /// # Errors
    ///
    /// If the server is gone.
    pub(super) fn publish_bulk(&mut self, place: usize, count: usize) -> anyhow::Result<()> {
        self.write(std::iter::repeat_n(place, count), event::bulk)?;
        Ok(())
    }

    fn write(
        &mut self,
        places: impl Iterator<Item = usize>,
        event: impl Fn(u64) -> String,
    ) -> anyhow::Result<u64> {
        self.lines.clear();
        let mut last = 0;
        for place in places {
            let room = &mut self.rooms[place];
            last = room.next;
            room.next += 1;
            self.lines.push_str(&event::line(&room.name, last, &event(last)));
        }
        self.control.write_all(self.lines.as_bytes()).context("cannot publish")?;
        Ok(last)
    }
}
