//! The wire, `tramline.v1`: names, frames and close codes. `protocol/README.md` is its text.

mod close;
pub(crate) mod codec;
mod frame;
mod request;
mod room;
mod text;

pub use self::close::{Advice, Close};
pub use self::frame::{
    Authenticated, ErrorFrame, Gap, Goodbye, Member, Moved, Numbered, PresenceList, Recovered, RoomPosition,
    ServerFrame, Subscribed, UserMoved, Welcome, WireLimits,
};
pub use self::request::Request;
pub(crate) use self::request::{BadFrame, Id, Parsed};
pub use self::room::{InvalidRoomId, RoomId};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The subprotocol, which is also the version.
pub const SUBPROTOCOL: &str = "tramline.v1";

/// A place in a room: offsets count from 1 within an epoch, 0 is «before the first».
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct Position {
    /// Which numbering the offset belongs to; opaque.
    pub epoch: Arc<str>,
    /// The last event up to which everything is known.
    pub offset: u64,
}

/// Why something was dropped for a connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[non_exhaustive]
pub enum GapReason {
    /// The connection did not read fast enough.
    Slow,
    /// The node lost its place in the events that feed it.
    Source,
    /// What was missed is no longer kept.
    Trimmed,
    /// A reason of a later version, as a client reads it; servers do not say it.
    #[serde(other)]
    #[cfg_attr(feature = "typescript", ts(skip))]
    Unknown,
}

/// Why a recovery came with nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[non_exhaustive]
pub enum NotRecovered {
    /// The room is numbered anew.
    Epoch,
    /// More was missed than one answer takes.
    TooMany,
    /// Part of what was missed is no longer kept.
    Trimmed,
    /// A reason of a later version, as a client reads it; servers do not say it.
    #[serde(other)]
    #[cfg_attr(feature = "typescript", ts(skip))]
    Unknown,
}

// === impl GapReason ===

impl GapReason {
    /// The reason of one gap that stands for two: the one that tells more.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Source, _) | (_, Self::Source) => Self::Source,
            (Self::Trimmed, _) | (_, Self::Trimmed) => Self::Trimmed,
            _ => Self::Slow,
        }
    }
}

// === impl Position ===

impl Position {
    /// A position.
    #[must_use]
    pub fn new(epoch: impl Into<Arc<str>>, offset: u64) -> Self {
        Self { epoch: epoch.into(), offset }
    }
}

#[cfg(test)]
mod tests;
