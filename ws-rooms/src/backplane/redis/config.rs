//! Settings, with the reason beside each default.

use std::fmt;
use std::time::Duration;

use crate::config::HistoryConfig;

/// How a node's rooms use Redis. All nodes of one Redis are configured alike.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `redis://` or `rediss://`, with the user and the database if there are any.
    ///
    /// TLS is rustls's, by the provider of the process. Where it has none yet, ring's is installed when the rooms are made:
    /// an application that wants another one installs that before.
    pub url: String,
    /// What all keys and channels begin with. `tramline:ws:`. No braces: they are the rooms' own.
    pub prefix: String,
    /// How much of a room is kept. [`HistoryConfig::total_bytes`] does not count here: what all rooms
    /// may use together is Redis's `maxmemory` with a policy that evicts, and a history that it evicts is answered with
    /// `trimmed`.
    pub history: HistoryConfig,
    /// How long a publisher, a join or a recovery waits for a Redis that is away, and how long one answer of Redis may
    /// take before the connection counts as dead. 2 s: a restart on the same machine, and as long as people wait. A
    /// connection that says nothing is asked whether it lives after twice as long, or 20 s if that is less.
    pub patience: Duration,
    /// How often a room that says nothing is compared with its head, and how often who is there with its list, however
    /// much the room says; it may take twice as long. 30 s: a subscription that died without a word is found within one
    /// heartbeat.
    pub check_every: Duration,
    /// How long a room is listened to after its last member left. 10 s: a connection that breaks comes back to it.
    pub linger: Duration,
    /// How long a node that says nothing more counts as there, for presence. 15 s: three of its renewals. Then its users
    /// leave as if their connections had broken.
    pub lease: Duration,
    /// Whether to use sharded Pub/Sub where the server has it (Redis 7). On. Off for what stands before Redis and does
    /// not know it.
    pub sharded: bool,
}

// === impl RedisConfig ===

impl RedisConfig {
    /// The defaults, on this Redis.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "tramline:ws:".to_owned(),
            history: HistoryConfig::default(),
            patience: Duration::from_secs(2),
            check_every: Duration::from_secs(30),
            linger: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            sharded: true,
        }
    }

    /// Whether it is time to compare what has been silent, or known, for so long. Asked each second: a fifth of those that
    /// are due, so that rooms that fell silent together do not stay together.
    pub(super) fn is_check_due(&self, age: Duration) -> bool {
        let every = self.check_every;
        age >= every.saturating_mul(2) || (age >= every && rand::random_ratio(1, 5))
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL stays out: it may hold a password.
        f.debug_struct("RedisConfig")
            .field("prefix", &self.prefix)
            .field("history", &self.history)
            .field("sharded", &self.sharded)
            .finish_non_exhaustive()
    }
}
