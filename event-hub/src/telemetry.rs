//! What the hub tells of itself: spans and metrics, in the words of OpenTelemetry's messaging conventions
//! (semantic conventions 1.44, where they are in development).
//!
//! The crate speaks `tracing` and the `metrics` facade alone. Without a subscriber and a recorder none of it
//! costs more than a look.
//!
//! # Spans
//!
//! | span | kind | when |
//! |---|---|---|
//! | `publish {exchange}` | producer | [`Hub::publish`](crate::Hub::publish), in the event's own trace |
//! | `publish {exchange}` | client | [`Hub::publish_all`](crate::Hub::publish_all): one for all, with a link to each event's trace (the first 128) and `messaging.batch.message_count` |
//! | `publish {redis}` | producer | an event's way to Redis, inside the span of its processing; `messaging.system` is `redis`, the destination is the channel |
//! | `process {consumer}` | consumer | a delivery until it is settled, in the event's own trace; a consumer's name is its queue's unless configured |
//!
//! They have `messaging.system` (`rabbitmq`; `memory`), `messaging.operation.name` and `.type`,
//! `messaging.destination.name`, where there is one event `messaging.message.id`,
//! `messaging.message.conversation_id` and `messaging.rabbitmq.destination.routing_key`, and after a failure
//! `error.type`. What joins or links them to the trace that an event came with is the application's hook, see
//! [`HubConfig::join_trace`](crate::HubConfig::join_trace).
//!
//! # Metrics
//!
//! | metric | kind, unit | labels | what |
//! |---|---|---|---|
//! | `messaging.client.sent.messages` | counter | system, operation, destination, `error.type` | events sent: confirmed without `error.type`, else `returned`, `nacked`, `refused`, `unknown`, `timeout`, `blocked` or `full` |
//! | `messaging.client.operation.duration` | histogram, s | the same | until the confirm; of `publish_all` until the last |
//! | `messaging.client.consumed.messages` | counter | system, operation, consumer | deliveries that came to a consumer |
//! | `messaging.process.duration` | histogram, s | system, operation, consumer, `error.type` | what handlers take; `error.type` is `failed`, `panic` or `timeout` |
//! | `event_hub.publish.refused` | counter | destination | events not sent: too large, the hub was shut down, or has declared no exchange |
//! | `event_hub.publish.in_flight` | gauge | destination | events whose confirm is awaited |
//! | `event_hub.handled` | counter | consumer, outcome | deliveries by how they ended: `ack`, `retry`, `dead_letter`, `return`, `drop`, `postpone` (held back while the consumer paused). What a lost channel or a drain puts back is counted when it has come again |
//! | `event_hub.redelivered` | counter | consumer | deliveries that may have been handled before |
//! | `event_hub.handle.lag` | histogram, s | consumer | from an event's time to its handler's first start |
//! | `event_hub.handle.in_flight` | gauge | consumer | deliveries that are being handled |
//! | `event_hub.handle.paused` | gauge | consumer | 1 while a consumer pauses, since every event fails |
//! | `event_hub.connection.opened` | counter | role | connections made, the first one and each reconnect |
//! | `event_hub.connection.lost` | counter | role | connections that were lost |
//! | `event_hub.connection.blocked` | gauge | role | 1 while the broker reads nothing from it, short of memory or disk |
//! | `event_hub.redis.mirrored` | counter | redis, outcome | events for Redis by how they ended: `heard`, `unheard` (nobody listens), `echo` (came from there), `passed_over` (by the mapping) |
//! | `event_hub.redis.received` | counter | redis, outcome | messages from Redis by how they ended: `published`, `echo`, `passed_over`; lost are `malformed`, `returned` (no queue wants it), `overflow` (the buffer was full), `abandoned` (at the end) |
//! | `event_hub.redis.waiting` | gauge | redis | messages from Redis that wait for the hub |
//! | `event_hub.redis.attached` | gauge | redis | 1 while the bridge is subscribed |
//! | `event_hub.redis.gaps` | counter | redis | subscriptions that were lost; what was published until the next is missed |
//!
//! Labels, in full: `messaging.system`, `messaging.operation.name` and `messaging.operation.type`,
//! `messaging.destination.name` (the exchange), `messaging.consumer.group.name` (the consumer's configured name,
//! which stays the same where queues have drawn names); `redis` is the name on Redis. All are bounded by configuration.
//! Metrics of the outbox are listed with [`outbox`](crate::outbox), the inbox's with [`inbox`](crate::inbox), those of
//! stored dead letters with [`dead_letters`](crate::dead_letters).

mod metrics;
#[cfg(feature = "redis")]
mod redis;
mod spans;

#[cfg(feature = "amqp")]
pub(crate) use crate::telemetry::metrics::ConnectionMetrics;
pub(crate) use crate::telemetry::metrics::{ConsumerMetrics, Processed, PublishMetrics};
#[cfg(feature = "redis")]
pub(crate) use crate::telemetry::redis::{BridgeMetrics, MirrorMetrics, redis_publish};
pub(crate) use crate::telemetry::spans::{ProcessSpans, PublishSpans, failed};

const PUBLISH: &str = "publish";
const PROCESS: &str = "process";
