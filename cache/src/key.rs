//! Names of entries and of groups of entries.

use std::fmt;
use std::fmt::Write as _;
use std::hash::Hash;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// What a cache can be asked for: whatever is one [part](KeyPart), tuples of up to six parts, and types of your own.
///
/// Whatever the answer depends on belongs into the key, above all who asks when the answer is not for all. Of a cache of
/// one value alone it is `()`.
///
/// A key is cloned for each load, and passed by reference: `get(&"ada".to_owned())` makes a `String` first. Where that
/// counts, an `Arc<str>` that is there already is cloned without a copy.
///
/// ```
/// use tramline_cache::{CacheKey, KeyParts};
///
/// #[derive(Clone, Eq, Hash, PartialEq)]
/// struct PageOf { user: u64, cursor: Option<String> }
///
/// impl CacheKey for PageOf {
///     fn write(&self, parts: &mut KeyParts) {
///         parts.push(self.user);
///         parts.push(self.cursor.as_deref());
///     }
/// }
/// ```
pub trait CacheKey: Clone + Eq + Hash + Send + Sync + 'static {
    /// Writes the key for the shared tier, and for nothing else: two different keys must write different parts.
    fn write(&self, parts: &mut KeyParts);
}

/// One part of a [`CacheKey`], and a key by itself: numbers, texts, `bool`, `char`, `()`, UUIDs (feature `uuid`), an
/// `Option` of one.
///
/// An id of your own is one as what it wraps:
///
/// ```
/// use tramline_cache::{Cache, CacheConfig, Error, KeyPart, KeyParts, Store, StoreConfig};
///
/// #[derive(Clone, Eq, Hash, PartialEq)]
/// struct UserId(u64);
///
/// impl KeyPart for UserId {
///     fn add_to(&self, parts: &mut KeyParts) {
///         parts.push(self.0);
///     }
/// }
///
/// fn caches(store: &Store) -> Result<(Cache<UserId, String>, Cache<(UserId, bool), Vec<u64>>), Error> {
///     Ok((store.cache(CacheConfig::new("name"))?, store.cache(CacheConfig::new("payments"))?))
/// }
/// # caches(&Store::memory(StoreConfig::default())).unwrap();
/// ```
pub trait KeyPart {
    /// Adds itself to the end of `parts`: exactly one part, or `(a, b)` might be taken for another pair.
    fn add_to(&self, parts: &mut KeyParts);
}

/// A key as it is written: its parts, any text, none of which can be taken for another list of parts.
#[derive(Debug, Default)]
pub struct KeyParts(String);

/// The name of a group of entries that end together, in all caches of a [`Store`](crate::Store).
///
/// `Debug` shows the kind only: the rest may be personal.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tag(Arc<str>);

/// The longest that is written as it is, in bytes: some hundred characters of user text in any script.
const MAX_LEN: usize = 256;

/// What a key that was too long begins with: `#` is never written by a part.
const HASHED: &str = ":#";

// === impl KeyParts ===

impl KeyParts {
    /// Adds a part.
    #[allow(clippy::needless_pass_by_value, reason = "parts are numbers and references")]
    pub fn push(&mut self, part: impl KeyPart) {
        part.add_to(self);
    }

    fn text(&mut self, part: &str) {
        self.0.reserve(part.len() + 1);
        self.0.push(':');
        // The separator and everything that means something to Redis is escaped.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
        if part.bytes().all(plain) {
            return self.0.push_str(part);
        }
        for byte in part.bytes() {
            if plain(byte) {
                self.0.push(char::from(byte));
            } else {
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }

    fn number(&mut self, part: impl fmt::Display) {
        let _ = write!(self.0, ":{part}");
    }

    /// The parts behind `head`, the whole hashed when it is long: user text has no length that we could refuse.
    fn finish(self, head: &str) -> String {
        if self.0.len() <= MAX_LEN {
            return if head.is_empty() { self.0 } else { format!("{head}{}", self.0) };
        }
        let mut text = format!("{head}{HASHED}");
        for byte in Sha256::digest(self.0.as_bytes()) {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// A key as the shared tier knows it, without the name of its cache.
pub(crate) fn written<K: CacheKey>(key: &K) -> String {
    let mut parts = KeyParts::default();
    key.write(&mut parts);
    parts.finish("")
}

/// The same for one of many, which all write into the same `parts`.
pub(crate) fn written_by<K: CacheKey>(key: &K, parts: &mut KeyParts) -> Arc<str> {
    parts.0.clear();
    key.write(parts);
    if parts.0.len() > MAX_LEN { std::mem::take(parts).finish("").into() } else { parts.0.as_str().into() }
}

/// How long a key is before it is hashed, in bytes; `written`: as the shared tier knows it.
pub(crate) fn length<K: CacheKey>(key: &K, written: &str) -> usize {
    if !written.starts_with(HASHED) {
        return written.len();
    }
    let mut parts = KeyParts::default();
    key.write(&mut parts);
    parts.0.len()
}

// === impl CacheKey ===

impl<P: KeyPart + Clone + Eq + Hash + Send + Sync + 'static> CacheKey for P {
    fn write(&self, parts: &mut KeyParts) {
        parts.push(self);
    }
}

macro_rules! tuple {
    ($($part:ident $index:tt),*) => {
        impl<$($part),*> CacheKey for ($($part,)*)
        where
            $($part: KeyPart + Clone + Eq + Hash + Send + Sync + 'static,)*
        {
            fn write(&self, parts: &mut KeyParts) {
                $(parts.push(&self.$index);)*
            }
        }
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

// === impl KeyPart ===

impl<P: KeyPart + ?Sized> KeyPart for &P {
    fn add_to(&self, parts: &mut KeyParts) {
        (**self).add_to(parts);
    }
}

/// One part either way: none is no text that a part could be.
impl<P: KeyPart> KeyPart for Option<P> {
    fn add_to(&self, parts: &mut KeyParts) {
        let at = parts.0.len();
        match self {
            Some(part) => part.add_to(parts),
            // `!` is never written by a part but this one.
            None => parts.0.push_str(":!"),
        }
        // There is something, and in it is nothing.
        if self.is_some() && parts.0[at..].starts_with(":!") {
            parts.0.push('!');
        }
    }
}

macro_rules! text {
    ($($part:ty),*) => {$(
        impl KeyPart for $part {
            fn add_to(&self, parts: &mut KeyParts) {
                parts.text(self);
            }
        }
    )*};
}

text!(str, String, Arc<str>, Box<str>);

impl KeyPart for char {
    fn add_to(&self, parts: &mut KeyParts) {
        parts.text(self.encode_utf8(&mut [0; 4]));
    }
}

/// An empty text: one part, too.
impl KeyPart for () {
    fn add_to(&self, parts: &mut KeyParts) {
        parts.text("");
    }
}

macro_rules! number {
    ($($part:ty),*) => {$(
        impl KeyPart for $part {
            fn add_to(&self, parts: &mut KeyParts) {
                parts.number(self);
            }
        }
    )*};
}

number!(bool, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

#[cfg(feature = "uuid")]
number!(uuid::Uuid);

// === impl Tag ===

impl Tag {
    /// The tag of `key` among those of this `kind`, such as `user` and a user's id.
    #[must_use]
    pub fn new(kind: &str, key: &impl CacheKey) -> Self {
        let mut head = KeyParts::default();
        head.text(kind);
        let head = head.finish("");
        let mut parts = KeyParts::default();
        key.write(&mut parts);
        Self(parts.finish(head.trim_start_matches(':')).into())
    }

    /// The tag of everything of this `kind` that has no key of its own, such as `reports`.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        let mut head = KeyParts::default();
        head.text(kind);
        Self(head.finish("").trim_start_matches(':').into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({}:…)", self.0.split(':').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
