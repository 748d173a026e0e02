//! Events on RabbitMQ that are never lost silently, and an in-memory broker with the same meaning.
//!
//! A [`Hub`] publishes [`Event`]s (CloudEvents) with confirms told truthfully, and runs handlers over
//! work queues with retries, dead letters and recovery. [`Hub::memory`] is the same thing without a
//! broker: topic routing, prefetch, acknowledgements, redelivery, delays and dead letters included.
//!
//! ```
//! use serde_json::json;
//! use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
//! use tramline_event_hub::{ConsumerConfig, Context, Event, Hub, MemoryConfig, Outcome};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::memory(MemoryConfig::default());
//! let topology = Topology::new()
//!     .exchange(Exchange::topic("events"))
//!     .queue(Queue::quorum("orders.queue"))
//!     .binding(Binding::new("events", "orders.#", "orders.queue"));
//! hub.declare(&topology).await?;
//!
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let stop = std::sync::Mutex::new(Some(stop));
//! let handler = move |event: Event, cx: Context| {
//!     let stop = stop.lock().ok().and_then(|mut stop| stop.take());
//!     async move {
//!         assert_eq!((event.event_type.as_str(), cx.attempt), ("orders.order.placed", 1));
//!         drop(stop);
//!         Outcome::Ack
//!     }
//! };
//! let event = Event::new("orders.order.placed", "shop", &json!({ "order": 7 }))?;
//! hub.publish(&event).await?;
//! hub.consume("orders.queue", ConsumerConfig::default(), handler, async {
//!     let _ = stopped.await;
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `amqp` | yes | `Hub::amqp`: RabbitMQ 3.10 or newer |
//! | `management` | no | comparing with the broker, and policies, through its management API |
//! | `postgres` | no | outbox, inbox and dead letters in PostgreSQL |
//! | `sqlite` | no | outbox, inbox and dead letters in SQLite |
//! | `redis` | no | events also to Redis Pub/Sub, and back, while listeners move |
//! | `cli` | no | the command `tramline-events` |
//! | `test-support` | no | the conformance suite, and a harness that tells what was published and handled |
//!
//! A guide, with a whole service in axum, names, versions and dead letters in practice, is in `docs/guides/events.md`
//! of the repository; its service is the example `orders`.
//!
//! # How it works
//!
//! One task owns each confirm channel, so that every confirm and return is matched by our own numbers.
//! Publishing and consuming use connections of their own, which reconnect for ever with full jitter,
//! declare the topology again and consume again. A failed event goes through a ladder of delay queues,
//! one fixed time to live each, so that no delay waits behind a longer one. What was tried too often, or
//! is no event at all, is moved to the dead-letter exchange with its reason before it is acknowledged. From its
//! queue it can be [drained into a table](dead_letters), listed, sent back to the queue it died in, and deleted.
//!
//! # Consuming
//!
//! A [handler] is an `async fn` of parts of a delivery, or any `tower` service; an
//! [error table](handler::ErrorTable) says what its errors mean. Handlers run beside each other, or
//! [in order by key](config::Order). When every event fails the consumer [pauses](config::Breaker): the queue keeps
//! what comes, and nothing becomes a dead letter for an outage. At its end a consumer takes nothing more, lets its
//! handlers finish until a deadline, sends their acknowledgements, gives back the rest, which is no attempt, and leaves; a
//! queue with one active consumer goes over to the next only then.
//!
//! # Events of others, and of older versions
//!
//! An [`Event`] is a CloudEvents 1.0 object. It is sent in structured mode, and read in structured or binary mode
//! (headers with `cloudEvents:`, `cloudEvents_` or `ce-`). Attributes that are not ours are kept in
//! [`Event::extensions`]. Data of an older version is brought to the newest by [`schema::Upcasts`] before a handler
//! sees it. What is no event, and what is of an unknown version, becomes a dead letter at once.
//!
//! # Telemetry
//!
//! Spans and metrics follow OpenTelemetry's messaging conventions; [`telemetry`] lists them all.
//!
//! Our log lines name events by their id and type, and hold no data. The driver's do: it logs each message that the
//! broker returns, its body included, at `WARN` under the target `lapin::returned_messages`. Filter that where events
//! are personal (`info,lapin::returned_messages=off`); nothing is lost with it, since the publish itself is answered.
//!
//! # Limits
//!
//! Delivery is at least once: use the inbox for one effect. Delayed retry and order exclude each other.
//!
//! What a queue takes back without an answer, 19 times, becomes a dead letter: that ends crash loops, and can meet an
//! event that only stood in the prefetch of processes that ended. RabbitMQ counts lost channels so, and before 4.3 what
//! is given back too. A handler must not block its thread: a consumer at its end leaves such a one behind. Use
//! `tokio::task::spawn_blocking`.

#[cfg(any(feature = "amqp", feature = "redis"))]
mod backoff;
pub mod config;
#[cfg(feature = "test-support")]
pub mod conformance;
mod consumer;
pub mod dead_letters;
mod delay;
mod driver;
pub mod envelope;
mod error;
pub mod feed;
pub mod handler;
mod handover;
#[cfg(feature = "test-support")]
pub mod harness;
pub mod health;
mod hub;
pub mod inbox;
#[cfg(feature = "management")]
mod management;
mod memory;
mod message;
pub mod outbox;
pub mod publish;
#[cfg(feature = "redis")]
pub mod redis;
pub mod schema;
pub mod telemetry;
pub mod topic;
pub mod topology;

#[cfg(feature = "amqp")]
mod amqp;

#[cfg(feature = "amqp")]
pub use crate::config::AmqpConfig;
pub use crate::config::{ConsumerConfig, HubConfig, MemoryConfig, RetryPolicy};
pub use crate::envelope::{Event, EventId};
pub use crate::error::{Error, ErrorKind};
pub use crate::handler::{Context, Handler, Outcome};
pub use crate::hub::Hub;
pub use crate::publish::{PublishError, PublishErrorKind, Receipt};

#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/events.md")]
mod guide {}
