//! Attributes that CloudEvents leaves to others, kept as they came.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Serialize, Serializer};

use crate::envelope::parts::Field;
use crate::error::{Error, ErrorKind};

/// The extension attributes that this crate has no field for, by name.
///
/// They survive a round trip. What does not fit is refused, never cut: at most 64 attributes, and names and
/// texts of 16 KiB together, which is more than any registered extension needs and less than a frame.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions {
    values: BTreeMap<String, ExtensionValue>,
    bytes: usize,
}

/// What an extension attribute holds. CloudEvents writes its other types (URI, time, bytes) as text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExtensionValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number. The specification has 32 bits; what came with more is kept.
    Integer(i64),
    /// Anything else.
    Text(String),
}

/// How many there may be.
const COUNT: usize = 64;

/// How long names and texts may be together.
const BYTES: usize = 16 * 1024;

// === impl Extensions ===

impl Extensions {
    /// Sets one. A second value of the same name replaces the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when the name is not of lower-case letters and digits, belongs to an
    /// attribute with a field of its own, or when it is too much.
    pub fn insert(&mut self, name: &str, value: impl Into<ExtensionValue>) -> Result<(), Error> {
        self.put(name.to_owned(), value.into())
            .map_err(|why| Error::new(ErrorKind::InvalidEvent, format!("extension {name:?}: {why}")))
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ExtensionValue> {
        self.values.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ExtensionValue)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn put(&mut self, name: String, value: ExtensionValue) -> Result<(), &'static str> {
        // CloudEvents 1.0.2, section 3.1: «lower-case letters or digits from the ASCII character set».
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Err("a name has lower-case letters and digits only");
        }
        if !matches!(Field::of(&name), Field::Extension(_)) {
            return Err("this attribute has a field of its own");
        }
        let old = self.values.get(&name).map_or(0, |old| name.len() + old.bytes());
        let bytes = self.bytes - old + name.len() + value.bytes();
        if bytes > BYTES || (old == 0 && self.values.len() >= COUNT) {
            return Err("more than 64 extensions or 16 KiB of them");
        }
        self.bytes = bytes;
        self.values.insert(name, value);
        Ok(())
    }
}

// === impl ExtensionValue ===

impl ExtensionValue {
    /// The text, when it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Flag(_) | Self::Integer(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Flag(_) => 1,
            Self::Integer(_) => 8,
            Self::Text(text) => text.len(),
        }
    }
}

/// The canonical text of CloudEvents.
impl fmt::Display for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&str> for ExtensionValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ExtensionValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for ExtensionValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i32> for ExtensionValue {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl Serialize for ExtensionValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}
