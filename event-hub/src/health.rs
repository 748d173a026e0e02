//! How the hub is.

/// How the hub is, as [`Hub::health`](crate::Hub::health) sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HubHealth {
    /// Whether every connection that is in use stands.
    pub connected: bool,
    /// Why not, as far as is known: the last failure to connect, for people.
    pub trouble: Option<String>,
    /// Whether the broker has stopped reading from us, being short of memory or disk.
    pub blocked: bool,
    /// Each running consumer.
    pub consumers: Vec<ConsumerHealth>,
}

/// How one consumer is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConsumerHealth {
    /// Its queue.
    pub queue: String,
    /// Whether the broker delivers to it now.
    pub active: bool,
}

/// How a queue is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Its name.
    pub name: String,
    /// Messages that wait.
    pub messages: u64,
    /// Messages that are out with consumers; known of the memory hub only.
    pub unacknowledged: u64,
    /// Its consumers.
    pub consumers: u64,
    /// What it dropped since it was made, being full; known of the memory hub only.
    pub dropped: u64,
}

// === impl HubHealth ===

impl HubHealth {
    /// Whether events flow both ways: connected, not blocked, every consumer active.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.connected && !self.blocked && self.consumers.iter().all(|consumer| consumer.active)
    }
}
