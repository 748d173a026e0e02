//! Settings, with the reason beside each default.

mod consumer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::Span;

#[cfg(feature = "management")]
pub use crate::management::ManagementUrl;
use crate::schema::Upcasts;

pub use crate::config::consumer::{
    Breaker, ConsumerConfig, Exhausted, Order, OrderKey, RetryPlace, RetryPolicy, Trip,
};

/// What both kinds of hub need.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubConfig {
    /// The exchange that [`Hub::publish`](crate::Hub::publish) sends to. Default `events`.
    pub exchange: String,
    /// How many publishes of one channel may wait for their confirm; more wait their turn.
    ///
    /// The default, 1000, is where a broker's throughput stops growing and only latency does.
    pub window: usize,
    /// How many bytes an event may have as JSON. A larger one is not sent: a broker closes the channel over it, with
    /// all that is out on it.
    ///
    /// The default, 16 MiB, is RabbitMQ's own `max_message_size` from 4.0 on (128 MiB before). What the hub moves itself,
    /// to a retry or to the dead letters, came from the broker and is not measured again.
    pub max_body: usize,
    /// How long a publish may take, waiting for a connection and for room included.
    ///
    /// The default, 10 s, is longer than a broker's restart of its channel and shorter than a request's patience.
    pub publish_timeout: Duration,
    /// Joins the span of a publish or of a handler to the event's trace, see [`telemetry`](crate::telemetry).
    pub join_trace: Option<SpanHook>,
    /// Brings the data of older events to the newest version before a handler sees them. Default: as they are.
    pub upcasts: Upcasts,
    /// Who remembers what goes through.
    #[cfg(feature = "test-support")]
    pub(crate) record: Option<Arc<crate::harness::record::Record>>,
}

/// Called with a fresh span and an event's traceparent, before the span is entered.
#[derive(Clone)]
pub struct SpanHook {
    join: Arc<JoinTrace>,
    link: Option<Arc<JoinTrace>>,
}

type JoinTrace = dyn Fn(&Span, &str) + Send + Sync;

/// Settings of [`Hub::memory`](crate::Hub::memory).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// What both kinds have in common.
    pub hub: HubConfig,
    /// How many events a queue without a bound of its own may hold, unacknowledged ones included.
    pub queue_capacity: QueueCapacity,
}

/// How many events a work queue holds before its publishers wait.
///
/// The default, 10,000, is some ten megabytes of typical events.
///
/// What the broker itself moves on, expired or delivered too often, keeps its place: a queue can be full of what lies in
/// a queue of dead letters that nobody reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "a number with a default of its own")]
pub struct QueueCapacity(pub usize);

/// Settings of [`Hub::amqp`](crate::Hub::amqp).
#[cfg(feature = "amqp")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AmqpConfig {
    /// What both kinds have in common.
    pub hub: HubConfig,
    /// The name that the broker's lists show for the connections.
    pub connection_name: String,
    /// How many channels events are published on. Events of one partition key share one and keep their order,
    /// and so do all events without a key.
    ///
    /// The default, 2, lets a slow queue's confirms hold up only half of the keys; a broker with many cores
    /// takes more. Retries and dead letters have a channel of their own beside them.
    pub publish_channels: usize,
    /// How often both sides show that they live. Default 10 s: a dead peer is noticed within two of them.
    pub heartbeat: Duration,
    /// How long one attempt to connect may take. Default 10 s.
    pub connect_timeout: Duration,
    /// The bound of the first pause between attempts; each is drawn between zero and its bound. Default 100 ms.
    pub backoff_first: Duration,
    /// The bound that the pauses double up to. Default 5 s: a broker that is back is found soon.
    ///
    /// A broker that refuses the user or the virtual host is asked again after this at the earliest.
    pub backoff_max: Duration,
    /// Certificates in PEM that are believed beside the machine's own, by `amqps` and by a management at `https`.
    /// Default none.
    pub root_certificates: Option<String>,
    /// The broker's management. Default none.
    ///
    /// With it queues are declared with what cannot change alone, and policies say the rest, so that another limit
    /// needs no other queue; and [`Hub::compare`](crate::Hub::compare) sees everything. Its user needs the tag
    /// `policymaker`. While it is away nothing new is made.
    #[cfg(feature = "management")]
    pub management: Option<ManagementUrl>,
}

// === impl HubConfig ===

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            exchange: "events".to_owned(),
            window: 1000,
            max_body: 16 * 1024 * 1024,
            publish_timeout: Duration::from_secs(10),
            join_trace: None,
            upcasts: Upcasts::default(),
            #[cfg(feature = "test-support")]
            record: None,
        }
    }
}

// === impl SpanHook ===

impl SpanHook {
    /// A hook from a function that makes the span, which is about one event, a child of the event's place in
    /// its trace.
    pub fn new(join: impl Fn(&Span, &str) + Send + Sync + 'static) -> Self {
        Self { join: Arc::new(join), link: None }
    }

    /// Adds a function that links the span, which is about many events, to one event's place in its trace.
    #[must_use]
    pub fn with_link(mut self, link: impl Fn(&Span, &str) + Send + Sync + 'static) -> Self {
        self.link = Some(Arc::new(link));
        self
    }

    pub(crate) fn join(&self, span: &Span, traceparent: &str) {
        (self.join)(span, traceparent);
    }

    pub(crate) fn link(&self, span: &Span, traceparent: &str) {
        if let Some(link) = &self.link {
            link(span, traceparent);
        }
    }
}

impl fmt::Debug for SpanHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanHook")
    }
}

// === impl QueueCapacity ===

impl Default for QueueCapacity {
    fn default() -> Self {
        Self(10_000)
    }
}

// === impl AmqpConfig ===

#[cfg(feature = "amqp")]
impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            hub: HubConfig::default(),
            connection_name: "tramline".to_owned(),
            publish_channels: 2,
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            root_certificates: None,
            #[cfg(feature = "management")]
            management: None,
        }
    }
}
