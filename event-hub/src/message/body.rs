//! What a message says.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::envelope::Event;

/// Bytes, or in a memory hub the event itself, which is written out when someone wants to see bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    event: Option<Arc<Event>>,
    bytes: OnceLock<Bytes>,
}

// === impl Body ===

impl Body {
    pub(crate) fn bytes(&self) -> &Bytes {
        self.bytes.get_or_init(|| self.event.as_ref().map(|event| event.to_json()).unwrap_or_default())
    }

    /// How many bytes it has, when these are more than so many.
    pub(crate) fn more_than(&self, most: usize) -> Option<usize> {
        // An event that is far from it is not written out for that.
        if self.bytes.get().is_none() && self.event.as_ref().is_some_and(|event| event.is_within(most)) {
            return None;
        }
        Some(self.bytes().len()).filter(|size| *size > most)
    }

    /// The event, when it need not be read.
    pub(crate) fn event(&self) -> Option<&Arc<Event>> {
        self.event.as_ref()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { event: None, bytes: bytes.into() }
    }
}

impl From<Arc<Event>> for Body {
    fn from(event: Arc<Event>) -> Self {
        Self { event: Some(event), bytes: OnceLock::new() }
    }
}
