//! What is published, and its way to the connections.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::protocol::codec::{self, Text};
use crate::protocol::{Position, RoomId};

/// Rooms of one event: as many as a connection may be in. Each room keeps the event with the names of all of them, and
/// what is for more people than that has a room of its own.
pub(crate) const ROOMS: usize = 100;

/// An event for some rooms, in order: a connection gets it in the first of its rooms.
#[derive(Debug)]
pub struct Publication {
    id: Arc<str>,
    rooms: Vec<RoomId>,
    event: Box<str>,
}

/// How many connections on this node got a publication, and how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// As `event`; some may be dropped later, for newer ones.
    pub events: u64,
    /// As `position`, having had it already.
    pub positions: u64,
    /// Not at all: the connection was too slow, and is told or cut.
    pub dropped: u64,
}

/// Drawn once for the process: nobody can make two ids look the same, and 64 bits do not by chance.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// One publication on its way into several rooms. Clones share what has been delivered.
#[derive(Clone, Debug)]
pub struct Fanout {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    publication: Arc<Publication>,
    /// By what connections know it again. Absent when there is one room: nobody can get it twice.
    shared_id: Option<u64>,
    at: Instant,
    events: AtomicU64,
    positions: AtomicU64,
    dropped: AtomicU64,
}

/// A publication with its number in one room. Its frames are built once, when first needed.
#[derive(Debug)]
pub struct Entry {
    pub(crate) fanout: Fanout,
    pub(crate) room: RoomId,
    pub(crate) position: Position,
    event: OnceLock<Text>,
    moved: OnceLock<Text>,
}

// === impl Publication ===

impl Publication {
    /// An event, as JSON text, for these rooms. A room named twice counts once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when the text is not one JSON object, [`ErrorKind::TooManyRooms`] for more than 100
    /// rooms.
    pub fn new(id: impl Into<Arc<str>>, rooms: Vec<RoomId>, event: impl AsRef<[u8]>) -> Result<Self, Error> {
        let event: &RawValue = serde_json::from_slice(event.as_ref())
            .map_err(|error| Error::with(ErrorKind::InvalidEvent, error))?;
        // `RawValue` has trimmed the text.
        if !event.get().starts_with('{') {
            return Err(Error::new(ErrorKind::InvalidEvent));
        }
        let mut unique: Vec<RoomId> = Vec::with_capacity(rooms.len().min(ROOMS));
        for room in rooms {
            if unique.contains(&room) {
                continue;
            }
            if unique.len() == ROOMS {
                return Err(Error::new(ErrorKind::TooManyRooms));
            }
            unique.push(room);
        }
        Ok(Self { id: id.into(), rooms: unique, event: event.get().into() })
    }

    /// The event's id, by which clients drop repeats.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The rooms, in order, each once.
    #[must_use]
    pub fn rooms(&self) -> &[RoomId] {
        &self.rooms
    }

    /// The event's JSON text.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }
}

// === impl Fanout ===

impl Fanout {
    /// The way of a publication that starts now.
    #[must_use]
    pub fn new(publication: Arc<Publication>) -> Self {
        let shared_id = (publication.rooms.len() > 1).then(|| SEED.hash_one(publication.id()));
        Self {
            shared: Arc::new(Shared {
                publication,
                shared_id,
                at: Instant::now(),
                events: AtomicU64::new(0),
                positions: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            }),
        }
    }

    /// What is published.
    #[must_use]
    pub fn publication(&self) -> &Arc<Publication> {
        &self.shared.publication
    }

    /// Who got it so far.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        Delivery {
            events: self.shared.events.load(Ordering::Relaxed),
            positions: self.shared.positions.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn at(&self) -> Instant {
        self.shared.at
    }

    /// The same for the same event id on all of this process's nodes, however often it is passed on, where it goes to
    /// several rooms.
    pub(crate) fn shared_id(&self) -> Option<u64> {
        self.shared.shared_id
    }

    pub(crate) fn count_event(&self) {
        self.shared.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_position(&self) {
        self.shared.positions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_dropped(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Entry ===

impl Entry {
    /// The publication as number `position.offset` of `room`.
    #[must_use]
    pub fn new(fanout: Fanout, room: RoomId, position: Position) -> Self {
        Self { fanout, room, position, event: OnceLock::new(), moved: OnceLock::new() }
    }

    pub(crate) fn event_frame(&self) -> &Text {
        self.event.get_or_init(|| {
            let event = self.fanout.publication().event();
            codec::event(&self.room, self.position.offset, event)
        })
    }

    pub(crate) fn position_frame(&self) -> &Text {
        self.moved.get_or_init(|| {
            let id = self.fanout.publication().id();
            codec::position(&self.room, self.position.offset, id)
        })
    }
}
