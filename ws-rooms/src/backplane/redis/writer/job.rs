//! What is written, and who waits for it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::backplane::redis::wire;
use crate::error::Error;
use crate::protocol::{GapReason, RoomId};
use crate::publication::Publication;

/// Something to write, and who waits for it.
pub(in super::super) struct Job {
    pub(super) work: Work,
    /// When nobody waits any more.
    pub(super) until: Option<Instant>,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
    /// The bytes that the job holds in the queue.
    _bytes: Option<OwnedSemaphorePermit>,
}

pub(in super::super) enum Work {
    Append(Arc<Publication>),
    /// In each of the rooms, which are as many as an event may have.
    Skip(Vec<RoomId>, Box<str>, GapReason),
    /// The source was lost, and histories with it.
    Lose,
}

// === impl Job ===

impl Job {
    /// As the work says.
    pub(super) fn bytes(&self) -> usize {
        self.work.bytes()
    }

    /// How many scripts it takes.
    pub(super) fn rooms(&self) -> usize {
        match &self.work {
            Work::Append(publication) => publication.rooms().len(),
            Work::Skip(rooms, ..) => rooms.len(),
            Work::Lose => 0,
        }
    }

    /// A job, and where its answer comes.
    pub(in super::super) fn new(
        work: Work,
        until: Option<Instant>,
        bytes: Option<OwnedSemaphorePermit>,
    ) -> (Self, oneshot::Receiver<Result<(), Error>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, until, reply, _bytes: bytes }, answer)
    }
}

// === impl Work ===

impl Work {
    /// Bytes on their way to Redis: each room has the whole text.
    pub(in super::super) fn bytes(&self) -> usize {
        match self {
            Self::Append(publication) => wire::size(publication) * publication.rooms().len(),
            // A call that says little more than the names.
            Self::Skip(rooms, id, _) => {
                rooms.iter().map(|room| 256 + 4 * room.as_str().len() + id.len()).sum()
            }
            Self::Lose => 0,
        }
    }
}
