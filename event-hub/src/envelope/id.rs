//! An event's id.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::ser::{Serialize, Serializer};
use uuid::Uuid;

use crate::envelope::short;
use crate::error::Error;

/// What identifies an event, and what the inbox keeps apart repeats by.
#[derive(Clone)]
pub struct EventId(Repr);

#[derive(Clone)]
enum Repr {
    /// As most are, without memory of their own.
    Uuid([u8; UUID]),
    Other(Box<str>),
}

/// The length of a UUID in its text form of RFC 9562, section 4.
const UUID: usize = 36;

// === impl EventId ===

impl EventId {
    /// A new id, a UUID v7.
    #[must_use]
    pub fn random() -> Self {
        let mut text = [0; UUID];
        Uuid::now_v7().hyphenated().encode_lower(&mut text);
        Self(Repr::Uuid(text))
    }

    /// An id that came from elsewhere.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`](crate::ErrorKind::InvalidEvent) when it is empty or longer than 255 bytes.
    pub fn parse(id: impl Into<String>) -> Result<Self, Error> {
        let id = id.into();
        short("id", &id)?;
        Ok(Self(match id.as_bytes().try_into() {
            Ok(text) => Repr::Uuid(text),
            Err(_) => Repr::Other(id.into()),
        }))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // INVARIANT: what is here was text of just this length.
            Repr::Uuid(text) => std::str::from_utf8(text).unwrap_or_default(),
            Repr::Other(text) => text,
        }
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> usize {
        match &self.0 {
            Repr::Uuid(text) => text.len(),
            Repr::Other(text) => text.len(),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventId").field(&self.as_str()).finish()
    }
}

impl Eq for EventId {}

impl PartialEq for EventId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Ord for EventId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for EventId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for EventId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests;
