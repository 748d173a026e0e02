//! Settings, with the reason beside each default.

use std::time::Duration;

use crate::redis::mapping::Mapping;

/// Settings of a [`PubSub`](crate::redis::PubSub): what its mirrors and bridges have in common.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PubSubConfig {
    /// Who we are on this Redis: what goes out bears this name, and what bears it is not taken back. The label `redis`
    /// of the metrics, too.
    ///
    /// Default `tramline`. Two hubs on one Redis need two names, or neither hears the other.
    pub name: String,
    /// How events and messages become each other. Default: CloudEvents, the channel being the routing key.
    pub mapping: Mapping,
    /// How long one attempt to connect may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long an answer may take before the connection counts as dead. Default 5 s: a Redis that is busy for longer
    /// is as good as away.
    pub response_timeout: Duration,
    /// The bound of the first pause while Redis is away, or the hub does not take what came. Default 100 ms.
    pub backoff_first: Duration,
    /// The bound that the pauses double up to. Default 1 s: what is published while a bridge waits for its next attempt is
    /// lost.
    pub backoff_max: Duration,
}

/// How a mirror passes events on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MirrorConfig {
    /// The consumer's name, for dead letters, spans and metrics. Default: the queue's.
    pub name: Option<String>,
    /// How many events may be on their way at once.
    ///
    /// The default, 1, keeps the order of the queue, as a listener of patterns has it from one sender, at the pace of
    /// one round trip each. With more, the order is that of each
    /// [`partition_key`](crate::Event::partition_key), and events without one have none.
    pub concurrency: usize,
    /// How long to wait at shutdown for the answers that are out. Default 10 s.
    pub drain_timeout: Duration,
}

/// What a bridge takes, and how much of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// The channels to listen to, by their names.
    pub channels: Vec<String>,
    /// The channels to listen to, by Redis's patterns (`orders.*`). A message that several of these, or a channel
    /// beside them, bring is taken once.
    pub patterns: Vec<String>,
    /// How many messages may wait for the hub; what comes beyond that is lost, logged and counted.
    ///
    /// The default, 10,000, is a minute of a busy channel.
    pub buffer: usize,
    /// How large their bodies may be together, likewise. Default 64 MiB.
    pub buffer_bytes: usize,
    /// How many events may wait for their confirm at once.
    ///
    /// The default, 64, keeps a confirm's way from being waited for at each of them. When the hub refuses one of them
    /// for now it goes again before all later ones, yet behind those that were out with it; 1 keeps the order whatever
    /// fails.
    pub batch: usize,
    /// How long to go on publishing at shutdown what has come. Default 10 s; what is left then is lost, logged and
    /// counted.
    pub drain_timeout: Duration,
}

// === impl PubSubConfig ===

impl Default for PubSubConfig {
    fn default() -> Self {
        Self {
            name: "tramline".to_owned(),
            mapping: Mapping::default(),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
        }
    }
}

// === impl MirrorConfig ===

impl Default for MirrorConfig {
    fn default() -> Self {
        Self { name: None, concurrency: 1, drain_timeout: Duration::from_secs(10) }
    }
}

// === impl BridgeConfig ===

impl BridgeConfig {
    /// Listens to these channels.
    pub fn channels<C: Into<String>>(channels: impl IntoIterator<Item = C>) -> Self {
        Self { channels: channels.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Listens to the channels that these patterns fit.
    pub fn patterns<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self { patterns: patterns.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            patterns: Vec::new(),
            buffer: 10_000,
            buffer_bytes: 64 << 20,
            batch: 64,
            drain_timeout: Duration::from_secs(10),
        }
    }
}
