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
    /// Whether it tries what comes. A consumer that pauses is ready: to take its process out of service would not
    /// make well what its handlers need.
    pub breaker: BreakerState,
    /// Why it could not be opened, the last time that it was tried: a missing queue, a missing permission. While it is
    /// active, what keeps its events from a retry or from the dead letters right now: an exchange that is gone, or full
    /// queues. It is ready all the same; what is tried so holds its place among those that are handled.
    pub trouble: Option<String>,
    /// Why it ended by itself, when it has; the queue waits to be consumed again.
    pub halted: Option<String>,
}

/// Whether a consumer tries what comes, see [`Breaker`](crate::config::Breaker).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum BreakerState {
    /// It does.
    #[default]
    Closed,
    /// It pauses, since every event fails.
    Open,
    /// Its pause is over: one event is tried, or the next that comes.
    HalfOpen,
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
    /// Whether events flow both ways: connected, not blocked, every consumer active, none halted.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.connected
            && !self.blocked
            && self.consumers.iter().all(|consumer| consumer.active && consumer.halted.is_none())
    }
}
