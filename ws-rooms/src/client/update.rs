//! What an application hears of its rooms.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::protocol::{GapReason, NotRecovered, Position, RoomId};

/// One thing that happened in a room. `E` is what events are read as: the whole object, envelope included.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Update<E = Value> {
    /// An event. A room's events come in order, each once.
    Event {
        /// Where.
        room: RoomId,
        /// Its number there.
        offset: u64,
        /// The event.
        event: E,
    },
    /// An event that is no `E`. It has been heard: its number does not come again.
    Unreadable {
        /// Where.
        room: RoomId,
        /// Its number there.
        offset: u64,
        /// The event, as it came.
        event: Arc<Value>,
        /// What `E` has against it.
        error: String,
    },
    /// Something was not heard: load anew what the room feeds.
    Gap {
        /// Where.
        room: RoomId,
        /// Why.
        cause: GapCause,
    },
    /// From here on the room is live: after joining, and after each recovery. What was missed came before.
    Live {
        /// Where.
        room: RoomId,
        /// Events follow from the next number on.
        place: Position,
    },
    /// A user's first connection came, where presence is on.
    Joined {
        /// Where.
        room: RoomId,
        /// Who.
        user_id: String,
    },
    /// A user's last connection left, where presence is on.
    Left {
        /// Where.
        room: RoomId,
        /// Who.
        user_id: String,
    },
    /// The last update of a room: it is not open to you, or the session has stopped.
    Ended {
        /// Which room; `None` for all of them, to who listens to all.
        room: Option<RoomId>,
        /// The server's word (`FORBIDDEN`, `TOO_MANY_ROOMS`, …), or `CLOSED`: the session has stopped.
        code: String,
        /// A sentence for people.
        message: String,
    },
}

/// Why something was not heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GapCause {
    /// The server: this connection did not read fast enough.
    Slow,
    /// The server lost its place in what feeds it.
    Source,
    /// The server no longer keeps what was missed.
    Trimmed,
    /// The server numbers the room anew.
    Epoch,
    /// More was missed than the server sends.
    TooMany,
    /// A number is missing in what the server sent as a whole.
    Hole,
    /// An event came in another room and is no longer at hand.
    Elsewhere,
    /// This subscription did not take its updates in time.
    Behind,
    /// The server has a reason that this version does not know.
    Unknown,
}

/// An update on its way to subscriptions, which share the event.
pub(super) type Told = Update<Arc<Value>>;

// === impl Update ===

impl<E> Update<E> {
    /// The room; `None` for the end of all.
    #[must_use]
    pub fn room(&self) -> Option<&RoomId> {
        match self {
            Self::Event { room, .. }
            | Self::Unreadable { room, .. }
            | Self::Gap { room, .. }
            | Self::Live { room, .. }
            | Self::Joined { room, .. }
            | Self::Left { room, .. } => Some(room),
            Self::Ended { room, .. } => room.as_ref(),
        }
    }
}

impl Told {
    /// The same with its event read as an `E`.
    pub(super) fn read<E: DeserializeOwned>(self) -> Update<E> {
        match self {
            Self::Event { room, offset, event } => match E::deserialize(&*event) {
                Ok(event) => Update::Event { room, offset, event },
                Err(error) => Update::Unreadable { room, offset, event, error: error.to_string() },
            },
            Self::Unreadable { room, offset, event, error } => {
                Update::Unreadable { room, offset, event, error }
            }
            Self::Gap { room, cause } => Update::Gap { room, cause },
            Self::Live { room, place } => Update::Live { room, place },
            Self::Joined { room, user_id } => Update::Joined { room, user_id },
            Self::Left { room, user_id } => Update::Left { room, user_id },
            Self::Ended { room, code, message } => Update::Ended { room, code, message },
        }
    }
}

// === impl GapCause ===

impl fmt::Display for GapCause {
    /// The protocol's word for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slow => "slow",
            Self::Source => "source",
            Self::Trimmed => "trimmed",
            Self::Epoch => "epoch",
            Self::TooMany => "too_many",
            Self::Hole => "hole",
            Self::Elsewhere => "elsewhere",
            Self::Behind => "behind",
            Self::Unknown => "unknown",
        })
    }
}

impl From<GapReason> for GapCause {
    fn from(reason: GapReason) -> Self {
        match reason {
            GapReason::Slow => Self::Slow,
            GapReason::Source => Self::Source,
            GapReason::Trimmed => Self::Trimmed,
            GapReason::Unknown => Self::Unknown,
        }
    }
}

impl From<NotRecovered> for GapCause {
    fn from(reason: NotRecovered) -> Self {
        match reason {
            NotRecovered::Epoch => Self::Epoch,
            NotRecovered::TooMany => Self::TooMany,
            NotRecovered::Trimmed => Self::Trimmed,
            NotRecovered::Unknown => Self::Unknown,
        }
    }
}
