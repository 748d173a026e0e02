//! Feeds: one process's own view of the stream, and how it hears that it has missed something.

use std::time::Duration;

use crate::error::Error;
use crate::topology::{Binding, Exchange, Queue, Topology};

/// A feed: a queue of one process's own, which only it consumes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Feed {
    /// The queue's name. When it is in use, or its node is away, a fresh suffix is added.
    pub name: String,
    /// The exchange it listens to. Default: the hub's.
    pub exchange: Option<String>,
    /// The keys it listens for.
    pub keys: Vec<String>,
    /// How long the queue outlives its process. Default 10 min, longer than a restart.
    pub expires: Duration,
    /// How much it holds before it drops the oldest. Default 100,000.
    pub max_length: usize,
    /// How often to look whether it is full. Default 5 s.
    pub check_every: Duration,
}

/// What became of a feed's place in the stream. Told before the events that follow it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// The queue was there: nothing was missed.
    Kept {
        /// The queue.
        queue: String,
    },
    /// The queue was made anew: whatever came before is missed.
    Made {
        /// The queue.
        queue: String,
    },
    /// The queue is full, or has dropped: something is missed.
    Full {
        /// The queue.
        queue: String,
    },
}

// === impl Feed ===

impl Feed {
    /// A feed of that name, listening for these keys.
    pub fn new<K: Into<String>>(name: impl Into<String>, keys: impl IntoIterator<Item = K>) -> Self {
        Self {
            name: name.into(),
            exchange: None,
            keys: keys.into_iter().map(Into::into).collect(),
            expires: Duration::from_mins(10),
            max_length: 100_000,
            check_every: Duration::from_secs(5),
        }
    }

    pub(crate) fn check(&self, exchange: &str) -> Result<(), Error> {
        let topology = Topology::new().exchange(Exchange::topic(exchange)).queue(Queue::feed(
            &self.name,
            self.expires,
            self.max_length,
        ));
        let bind =
            |topology: Topology, key: &String| topology.binding(Binding::new(exchange, key, &self.name));
        self.keys.iter().fold(topology, bind).check()
    }
}

// === impl Place ===

impl Place {
    /// Whether something was missed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        !matches!(self, Self::Kept { .. })
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        match self {
            Self::Kept { queue } | Self::Made { queue } | Self::Full { queue } => queue,
        }
    }
}
