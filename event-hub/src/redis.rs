//! Redis Pub/Sub beside the hub, for as long as a move takes: events out to old listeners, messages of old senders
//! back in.
//!
//! [`PubSub`] is one Redis. Its [mirror](PubSub::mirror) passes the events of a queue on to channels; its
//! [bridge](PubSub::bridge) publishes what channels say as events. Each runs without the other, and both may run on
//! the same channels: what one of them moved is not moved back by the other.
//!
//! ```no_run
//! use tramline_event_hub::Hub;
//! use tramline_event_hub::redis::{BridgeConfig, MirrorConfig, PubSub, PubSubConfig};
//! use tramline_event_hub::topology::{Binding, Topology};
//!
//! # async fn run(hub: Hub, stop: tokio_util::sync::CancellationToken) -> Result<(), tramline_event_hub::Error> {
//! let redis = PubSub::new("redis://127.0.0.1", PubSubConfig::default())?;
//! let topology = Topology::new()
//!     .queue(PubSub::queue("redis.mirror", "events.dlx", "dead-letter"))
//!     .binding(Binding::new("events", "orders.#", "redis.mirror"));
//! hub.declare(&topology).await?;
//! let bridge = redis.bridge(&hub, BridgeConfig::patterns(["legacy.*"]))?;
//! let mirror = redis.mirror(&hub, "redis.mirror", MirrorConfig::default(), stop.cancelled());
//! tokio::try_join!(mirror, bridge.run(stop.cancelled()))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Out
//!
//! The mirror is a consumer with a queue of its own. A publish is confirmed when that queue has the event, as every
//! other queue that wants it, whoever sent it, an outbox's relay included; Redis holds nobody up. An event is
//! acknowledged when Redis has answered its `PUBLISH`, and goes out again when the answer was lost: at least once, with
//! the same id. While Redis is away the mirror [pauses](crate::config::Breaker) and the queue keeps what comes; no
//! attempt is counted and nothing becomes a dead letter for it. By default events go out one after the other, in the
//! order of the queue. `PUBLISH` answering that nobody listens is a success: Redis is at most once from there on.
//!
//! # Back
//!
//! The bridge subscribes, again and again, and publishes with confirms, in the order of arrival (that of each partition
//! key, and of all events without one). Redis sends to whom is there: **what is published while the bridge is away is
//! lost**, as it always was for any listener; a lost subscription is logged and counted. What has come waits for the hub in a bounded buffer; beyond the bound it is lost,
//! logged and counted, since neither Redis nor its driver can be made to wait. A message that is no event is refused
//! with its beginning in the log, and the bridge goes on.
//!
//! **In several processes** the bridge gets, and publishes, each message several times. That is well where the event's
//! id is in the message (CloudEvents, [`Mapping::base_event`], or your own): consumers with an
//! [inbox](crate::inbox) drop the repeats. Where it is not, as with other JSON, each copy is an event of its own: run
//! such a bridge in one process.
//!
//! # No echo
//!
//! What goes out bears the member `redisvia` in its JSON object, a CloudEvents extension that old listeners pass over,
//! with the [name](PubSubConfig::name) of who sent it. A bridge of that name leaves it alone; the bridge of another hub
//! takes it, with the names it came by, so that it ends wherever it has been. What a bridge has published bears its
//! name too, and its mirror does not send it back. Hubs on the same Redis need names of their own.

mod bridge;
mod config;
mod connection;
mod mapping;
mod mark;
mod mirror;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use ::redis::{Client, ConnectionAddr};

use crate::error::{Error, ErrorKind};
use crate::hub::Hub;
use crate::topology::Queue;

pub use crate::redis::bridge::{Bridge, BridgeMonitor, BridgeStatus};
pub use crate::redis::config::{BridgeConfig, MirrorConfig, PubSubConfig};
pub use crate::redis::mapping::{Incoming, Mapping, Outgoing};

/// The Pub/Sub of one Redis, and what is said on it. Clones are cheap; it connects when it is used.
#[derive(Clone)]
pub struct PubSub(Arc<Inner>);

struct Inner {
    client: Client,
    config: PubSubConfig,
}

// === impl PubSub ===

impl PubSub {
    /// A Redis, `redis://` or `rediss://`. Nothing is connected yet.
    ///
    /// TLS is rustls's, by the provider of the process. Where it has none yet, ring's is installed here: an application
    /// that wants another one installs that before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the URL or the name cannot be used.
    pub fn new(url: &str, config: PubSubConfig) -> Result<Self, Error> {
        let invalid = |why: &str| Error::new(ErrorKind::Config, why);
        if !mark::is_name(&config.name) {
            return Err(invalid("a name on Redis is one word of at most 64 bytes"));
        }
        let client = Client::open(url).map_err(|e| invalid("the URL of Redis").with_source(e))?;
        if matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. }) {
            provide();
        }
        Ok(Self(Arc::new(Inner { client, config })))
    }

    /// A queue for a [mirror](Self::mirror), with the exchange and the key where what is no event goes as a dead letter.
    ///
    /// Replicated; one process at a time has it, so that the order holds; without a limit of deliveries, since each
    /// outage of Redis that outlasts the broker's patience counts as one.
    #[must_use]
    pub fn queue(name: impl Into<String>, exchange: impl Into<String>, key: impl Into<String>) -> Queue {
        // ORDER: dead letters bring a limit with them.
        let queue = Queue::quorum(name).with_dead_letter(exchange, key).with_delivery_limit(None);
        queue.with_single_active_consumer()
    }

    /// Passes the events of a queue on to Redis, until `shutdown` completes and what is on its way is answered.
    ///
    /// The queue must be [declared](Hub::declare), as [`PubSub::queue`] makes it. While Redis is away its events wait
    /// there; the hub's health shows its consumer with an open breaker.
    ///
    /// # Errors
    ///
    /// As [`Hub::consume`]; [`ErrorKind::Config`] also when the queue has a limit of deliveries, or no dead letters.
    ///
    /// # Cancel safety
    ///
    /// When dropped, what Redis has not answered goes out again.
    pub async fn mirror(
        &self,
        hub: &Hub,
        queue: &str,
        config: MirrorConfig,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        mirror::run(self, hub, queue, config, shutdown).await
    }

    /// A bridge that publishes the messages of channels as events, once it [runs](Bridge::run).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when there is nothing to subscribe to, or no room for a message.
    pub fn bridge(&self, hub: &Hub, config: BridgeConfig) -> Result<Bridge, Error> {
        Bridge::new(self.clone(), hub.clone(), config)
    }

    fn config(&self) -> &PubSubConfig {
        &self.0.config
    }

    fn client(&self) -> &Client {
        &self.0.client
    }
}

impl fmt::Debug for PubSub {
    // The client's own would show the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// The driver speaks TLS by the process's provider, which rustls cannot choose where a build has two: then it panics.
fn provide() {
    // An error: the application has chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An application with two providers of TLS in its build has chosen none by that, and rustls would panic.
    #[test]
    fn whoever_asks_for_tls_has_a_provider() {
        PubSub::new("rediss://127.0.0.1:1", PubSubConfig::default()).unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
