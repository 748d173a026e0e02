//! Which letters are meant.

use jiff::Timestamp;

use crate::error::{Error, ErrorKind};

/// Letters that fit all that is given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Filter {
    /// Those with these numbers.
    pub ids: Option<Vec<i64>>,
    /// Those that died in this queue.
    pub queue: Option<String>,
    /// Those of this event type.
    pub event_type: Option<String>,
    /// Those first published with this key.
    pub routing_key: Option<String>,
    /// Those that died for this reason.
    pub reason: Option<String>,
    /// Those that this consumer gave up on.
    pub handler: Option<String>,
    /// Those of this event.
    pub event_id: Option<String>,
    /// Those that died at this time or later.
    pub from: Option<Timestamp>,
    /// Those that died before this time.
    pub to: Option<Timestamp>,
}

/// Which letters to send back or to delete.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Selection {
    /// All that are stored at the start.
    All,
    /// Those with these numbers.
    Ids(Vec<i64>),
    /// Those that fit. A filter that says nothing is refused: say `All`.
    Matching(Filter),
}

// === impl Filter ===

impl Filter {
    /// Everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

// === impl Selection ===

impl Selection {
    pub(crate) fn filter(&self) -> Result<Filter, Error> {
        match self {
            Self::All => Ok(Filter::default()),
            Self::Ids(ids) => Ok(Filter { ids: Some(ids.clone()), ..Filter::default() }),
            Self::Matching(filter) if *filter == Filter::default() => {
                Err(Error::new(ErrorKind::Config, "a filter that fits every dead letter: say all"))
            }
            Self::Matching(filter) => Ok(filter.clone()),
        }
    }
}
