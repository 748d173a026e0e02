//! Names of rooms.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name: a prefix and two UUIDs fit, a novel does not.
const MAX_LEN: usize = 128;

/// The name of a room: parts of `A-Za-z0-9._-` joined by colons, at most 128 bytes.
///
/// Names are compared byte by byte, so two spellings are two rooms; the charset leaves nothing
/// to normalise.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RoomId(Arc<str>);

/// The text is not a room's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a room's name is 1 to 128 bytes of A-Z a-z 0-9 . _ - in parts joined by colons")]
#[non_exhaustive]
pub struct InvalidRoomId;

// === impl RoomId ===

impl RoomId {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`InvalidRoomId`] when it is empty, too long, or holds another character or an empty part.
    pub fn parse(name: &str) -> Result<Self, InvalidRoomId> {
        let whole = !name.is_empty()
            && name.len() <= MAX_LEN
            && name.split(':').all(|part| {
                !part.is_empty()
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            });
        if whole { Ok(Self(name.into())) } else { Err(InvalidRoomId) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for RoomId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for RoomId {
    type Err = InvalidRoomId;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}
