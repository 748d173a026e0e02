//! Names of entries and of groups of entries.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The name of an entry: a space, and parts that may hold any text.
///
/// Whatever the answer depends on belongs into the parts, above all who asks when the answer is not for all.
/// `Debug` shows the space only: parts may be personal.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(Arc<str>);

/// The name of a group of entries that are invalidated together.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tag(Arc<str>);

/// The longest key, in bytes as written to Redis: some hundred characters of user text in any script.
const MAX_LEN: usize = 512;

/// The longest name of a space.
const MAX_SPACE: usize = 32;

// === impl Key ===

impl Key {
    /// A key. The space is 1 to 32 of `a-z 0-9 -`; two different lists of parts are two different keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidKey`] when the space is not so, or the whole is longer than 512 bytes, where a
    /// byte other than a letter, a digit or one of `-._~@` counts as three.
    pub fn new(space: &str, parts: &[impl AsRef<str>]) -> Result<Self, Error> {
        encode(space, parts).map(|text| Self(text.into()))
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> &str {
        space(&self.0)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A key as another process wrote it.
    #[cfg(feature = "redis")]
    pub(crate) fn from_wire(text: &str) -> Self {
        Self(text.into())
    }
}

// === impl Tag ===

impl Tag {
    /// A tag, by the rules of [`Key::new`].
    ///
    /// # Errors
    ///
    /// As [`Key::new`].
    pub fn new(space: &str, parts: &[impl AsRef<str>]) -> Result<Self, Error> {
        encode(space, parts).map(|text| Self(text.into()))
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> &str {
        space(&self.0)
    }

    #[cfg(feature = "redis")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A tag as another process wrote it.
    #[cfg(feature = "redis")]
    pub(crate) fn from_wire(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:…)", self.space())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({}:…)", self.space())
    }
}

fn encode(space: &str, parts: &[impl AsRef<str>]) -> Result<String, Error> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if space.is_empty() || space.len() > MAX_SPACE || !space.bytes().all(plain) {
        return Err(Error::new(ErrorKind::InvalidKey, "a space is 1 to 32 of a-z, 0-9 and -"));
    }
    let mut text = space.to_owned();
    for part in parts {
        text.push(':');
        // The separator and everything that means something to Redis is escaped.
        for byte in part.as_ref().bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        if text.len() > MAX_LEN {
            return Err(Error::new(ErrorKind::InvalidKey, format!("longer than {MAX_LEN} bytes")));
        }
    }
    Ok(text)
}

fn space(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
