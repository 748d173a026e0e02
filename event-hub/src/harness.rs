//! What a test asks of a service that speaks in events: was this published, handled, how often, and how did it end.
//!
//! ```
//! use serde_json::json;
//! use tramline_event_hub::harness::{Ended, Harness};
//! use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
//! use tramline_event_hub::{ConsumerConfig, Event, Outcome};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let harness = Harness::new();
//! let topology = Topology::new()
//!     .exchange(Exchange::topic("events"))
//!     .queue(Queue::quorum("orders"))
//!     .binding(Binding::new("events", "orders.#", "orders"));
//! harness.hub().declare(&topology).await?;
//!
//! // The service under test: gets the hub as it would get a real one.
//! let hub = harness.hub().clone();
//! let service = tokio::spawn(async move {
//!     let handler = |_: Event| async { Outcome::Ack };
//!     hub.consume("orders", ConsumerConfig::default(), handler, std::future::pending()).await
//! });
//!
//! harness.hub().publish(&Event::new("orders.order.placed", "shop", &json!({"order": 7}))?).await?;
//! harness.until_handled("orders", "orders.order.placed", 1).await;
//! assert_eq!(harness.published("orders.order.placed"), 1);
//! assert_eq!(harness.ended("orders", "orders.order.placed", Ended::DeadLettered), 0);
//! # service.abort();
//! # Ok(())
//! # }
//! ```

pub(crate) mod record;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{HubConfig, MemoryConfig};
use crate::envelope::Event;
use crate::harness::record::Record;
use crate::hub::Hub;

pub use crate::consumer::Ended;
pub use crate::harness::record::Delivered;

/// A hub that remembers what went through it. Counts are exact; of events and deliveries the last 10,000 are kept.
///
/// The `until_…` forms wait for what will come and panic after 20 seconds, saying what did come.
#[derive(Clone, Debug)]
pub struct Harness {
    hub: Hub,
    record: Arc<Record>,
}

/// Longer than any step of a test on a busy machine; a test that waits for what never comes ends.
const PATIENCE: Duration = Duration::from_secs(20);

// === impl Harness ===

impl Harness {
    /// On a memory hub of default settings. Call it inside a tokio runtime.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it starts tasks: not a value to be had by accident")]
    pub fn new() -> Self {
        Self::over(HubConfig::default(), |hub| Hub::memory(MemoryConfig { hub, ..MemoryConfig::default() }))
    }

    /// On the hub that `make` makes of this configuration, a memory hub or one on a broker.
    ///
    /// Only what passes through this hub is seen, and not what other processes do on the same broker.
    pub fn over(mut config: HubConfig, make: impl FnOnce(HubConfig) -> Hub) -> Self {
        let record = Arc::new(Record::default());
        config.record = Some(Arc::clone(&record));
        Self { hub: make(config), record }
    }

    /// The hub, to be handed to what is tested.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// How many events of this type were published and confirmed.
    #[must_use]
    pub fn published(&self, event_type: &str) -> u64 {
        self.record.published(event_type)
    }

    /// The events of this type that were published and confirmed, oldest first.
    #[must_use]
    pub fn events(&self, event_type: &str) -> Vec<Event> {
        self.record.events(event_type)
    }

    /// How many deliveries of this type a queue's handlers have acknowledged.
    #[must_use]
    pub fn handled(&self, queue: &str, event_type: &str) -> u64 {
        self.ended(queue, event_type, Ended::Acked)
    }

    /// How many deliveries of this type ended so in a queue.
    #[must_use]
    pub fn ended(&self, queue: &str, event_type: &str, how: Ended) -> u64 {
        self.record.ended(queue, event_type, how)
    }

    /// The deliveries from a queue that have ended, oldest first.
    #[must_use]
    pub fn deliveries(&self, queue: &str) -> Vec<Delivered> {
        self.record.deliveries(|delivered| delivered.queue == queue)
    }

    /// What was given up in a queue and moved to the dead letters, oldest first.
    #[must_use]
    pub fn dead_letters(&self, queue: &str) -> Vec<Delivered> {
        self.record.deliveries(|delivered| delivered.queue == queue && delivered.ended == Ended::DeadLettered)
    }

    /// Waits until so many events of this type were published.
    ///
    /// # Panics
    ///
    /// When they do not come.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when dropped.
    pub async fn until_published(&self, event_type: &str, count: u64) {
        let what = format!("{count} × {event_type} published");
        self.until(&what, || self.published(event_type) >= count).await;
    }

    /// Waits until a queue's handlers have acknowledged so many deliveries of this type.
    ///
    /// # Panics
    ///
    /// When they do not.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when dropped.
    pub async fn until_handled(&self, queue: &str, event_type: &str, count: u64) {
        self.until_ended(queue, event_type, Ended::Acked, count).await;
    }

    /// Waits until so many deliveries of this type ended so in a queue.
    ///
    /// # Panics
    ///
    /// When they do not.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when dropped.
    pub async fn until_ended(&self, queue: &str, event_type: &str, how: Ended, count: u64) {
        let what = format!("{count} × {event_type} {how:?} in {queue}");
        self.until(&what, || self.ended(queue, event_type, how) >= count).await;
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            let mut changes = self.record.changes();
            // ORDER: watch first, then look, or a change could come in between.
            while !holds() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            panic!("waited in vain for {what}; there were {}", self.record.summary());
        }
    }
}
