//! Used tickets, in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::error::{Error, ErrorKind};

pub(crate) struct Memory {
    capacity: usize,
    used: Mutex<HashMap<String, Timestamp>>,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, used: Mutex::default() }
    }

    /// Whether this is the ticket's first use, which it then was.
    #[allow(clippy::unnecessary_wraps, reason = "the shape of the engine that can be away")]
    pub(crate) fn mark(&self, id: &str, ends_at: Timestamp, now: Timestamp) -> Result<bool, Error> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= self.capacity {
            used.retain(|_, until| *until > now);
            if used.len() >= self.capacity {
                // Forgetting a live mark would let its ticket in twice.
                return Err(Error::with(ErrorKind::Unavailable, "too many live tickets"));
            }
        }
        Ok(used.insert(id.to_owned(), ends_at).is_none())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
