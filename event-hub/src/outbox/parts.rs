//! Sets of partitions.

/// How many partitions an outbox has in PostgreSQL; as many relays can share it.
///
/// Sixteen: more relays than that wait for their broker, not for each other. The number is part of the schema.
pub(crate) const PARTS: u8 = 16;

/// Some of the partitions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Parts(u16);

// === impl Parts ===

impl Parts {
    pub(crate) const NONE: Self = Self(0);
    #[cfg(any(feature = "postgres", test))]
    pub(crate) const ALL: Self = Self(u16::MAX);

    pub(crate) fn insert(&mut self, part: u8) {
        self.0 |= 1 << part;
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn remove(&mut self, part: u8) {
        self.0 &= !(1 << part);
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn contains(self, part: u8) -> bool {
        self.0 & (1 << part) != 0
    }

    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..PARTS).filter(move |part| self.contains(*part))
    }

    /// All of them, from `start` on and round.
    pub(crate) fn from(self, start: u8) -> impl Iterator<Item = u8> {
        (0..PARTS).map(move |n| (start + n) % PARTS).filter(move |part| self.contains(*part))
    }
}

impl FromIterator<u8> for Parts {
    fn from_iter<I: IntoIterator<Item = u8>>(parts: I) -> Self {
        let mut set = Self::NONE;
        for part in parts {
            set.insert(part);
        }
        set
    }
}
