//! What stands in the shared tier for «nothing of this was ended since».

use std::fmt;
use std::sync::Arc;

use crate::key::Tag;

/// The name of what can be ended at once: a tag, or all of a cache.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) struct MarkName(Arc<str>);

/// What a name stands at. An entry carries the marks that its names had when it began to be loaded; when one of them has
/// another by now, or none, the entry is dead.
///
/// The tier counts what is ended. A tier that lost its count goes on with another incarnation.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Mark {
    pub(crate) incarnation: u64,
    pub(crate) number: u64,
}

// === impl MarkName ===

impl MarkName {
    pub(crate) fn of_tag(tag: &Tag) -> Self {
        Self(format!("t:{}", tag.as_str()).into())
    }

    /// `space` is a cache's name and version.
    pub(crate) fn of_cache(space: &str) -> Self {
        Self(format!("s:{space}").into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A name as another process wrote it.
    pub(crate) fn from_wire(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for MarkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MarkName({}…)", self.0.split(':').take(2).collect::<Vec<_>>().join(":"))
    }
}

// === impl Mark ===

impl Mark {
    /// As scripts write it: `i.n`, the incarnation in hexadecimal.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (incarnation, number) = text.split_once('.')?;
        Some(Self { incarnation: u64::from_str_radix(incarnation, 16).ok()?, number: number.parse().ok()? })
    }

    /// Whether this was already so when `heard` was the newest: then nothing ended it since.
    pub(crate) fn is_within(self, heard: Self) -> bool {
        self.incarnation == heard.incarnation && self.number <= heard.number
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.incarnation, self.number)
    }
}
