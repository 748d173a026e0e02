//! Where the next look at the table begins.

use crate::outbox::parts::Parts;
use crate::outbox::store::Row;

/// A walk from key to key through the partitions. A look that brought as much as it may goes on where it ended,
/// so that keys with much to send cannot keep others from being seen.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    part: u8,
    /// The first key to look at; the first of all when empty.
    key: String,
}

// === impl Walk ===

impl Walk {
    /// The way through `parts`.
    pub(crate) fn way(&self, parts: Parts) -> Vec<(u8, String)> {
        parts
            .from(self.part)
            .map(|part| (part, if part == self.part { self.key.clone() } else { String::new() }))
            .collect()
    }

    /// Books a look along `way` whose rows with a key may be `keyed`; whether there is more to see.
    pub(crate) fn went(&mut self, way: &[(u8, String)], rows: &[Row], keyed: usize) -> bool {
        let place = |row: &Row| way.iter().position(|(part, _)| *part == row.part);
        let last = rows
            .iter()
            .filter_map(|row| Some((place(row)?, row.part, row.key.as_ref()?)))
            .max_by_key(|(place, _, key)| (*place, *key));
        if let Some((_, part, key)) = last
            && rows.iter().filter(|row| row.key.is_some()).count() >= keyed
        {
            // That key itself may have more.
            *self = Self { part, key: key.clone() };
            return true;
        }
        // It came to the end. What lies before its beginning was not looked at.
        !std::mem::take(&mut self.key).is_empty()
    }
}

#[cfg(test)]
mod tests;
