//! Out: the events of a queue, passed on to Redis.

use std::future::Future;
use std::sync::Arc;

use tracing::Instrument as _;

use crate::config::{Breaker, ConsumerConfig, Order, RetryPolicy};
use crate::error::{Error, ErrorKind};
use crate::handler::{Action, BoxError, ErrorTable, RawDelivery, Received, TimedOut, Undecodable};
use crate::hub::Hub;
use crate::redis::PubSub;
use crate::redis::config::MirrorConfig;
use crate::redis::connection::{Away, Connection};
use crate::redis::mark::Via;
use crate::telemetry::{self, MirrorMetrics};

struct Mirror {
    redis: PubSub,
    connection: Connection,
    metrics: MirrorMetrics,
}

pub(super) async fn run(
    redis: &PubSub,
    hub: &Hub,
    queue: &str,
    config: MirrorConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    if hub.has_delivery_limit(queue) {
        let why = format!("{queue} has a limit of deliveries: outages of Redis would make dead letters");
        return Err(Error::new(ErrorKind::Config, why));
    }
    let mirror = Arc::new(Mirror {
        redis: redis.clone(),
        connection: Connection::new(redis.clone()),
        metrics: MirrorMetrics::new(&redis.config().name),
    });
    let handler = move |raw: RawDelivery| {
        let mirror = Arc::clone(&mirror);
        async move { mirror.pass_on(&raw).await }
    };
    hub.consume(queue, consumer(redis, config), handler, shutdown).await
}

fn consumer(redis: &PubSub, config: MirrorConfig) -> ConsumerConfig {
    let link = redis.config();
    let defaults = ConsumerConfig::default();
    let concurrency = config.concurrency.max(1);
    ConsumerConfig {
        name: config.name,
        prefetch: defaults.prefetch.max(u16::try_from(concurrency).unwrap_or(u16::MAX)),
        concurrency,
        order: Some(if concurrency == 1 { Order::by(|_| Some(String::new())) } else { Order::by(key) }),
        // Whatever waits, for Redis or for another try, holds up what comes behind it.
        retry: RetryPolicy::in_place(),
        // An answer that never comes is Redis's fault, and so is any other failure of its: all wait, none is blamed.
        errors: ErrorTable::new().on::<Away>(Action::Pause).on::<TimedOut>(Action::Pause),
        breaker: Some(Breaker {
            first_pause: link.backoff_first,
            max_pause: link.backoff_max,
            ..Breaker::default()
        }),
        // Connecting and asking have timeouts of their own.
        handler_timeout: defaults.handler_timeout + link.connect_timeout + link.response_timeout,
        drain_timeout: config.drain_timeout,
        gives_up_poison: false,
    }
}

/// The partition key as it was sent, of whichever version its data is.
fn key(received: &mut Received) -> Option<String> {
    received.raw().event().ok()?.partition_key
}

// === impl Mirror ===

impl Mirror {
    /// The event as it was sent, not upcast: its listeners know the version that its sender knows.
    async fn pass_on(&self, raw: &RawDelivery) -> Result<(), BoxError> {
        let link = self.redis.config();
        let event = raw.event().map_err(Undecodable::new)?;
        let via = Via::of(&event);
        if via.has(&link.name) {
            tracing::debug!(redis = link.name, id = %event.id, "came from there: not sent back");
            self.metrics.echo.increment(1);
            return Ok(());
        }
        let own_fault = |why: BoxError| {
            let error = Error::new(ErrorKind::InvalidEvent, "no message for Redis").with_source(why);
            BoxError::from(Undecodable::new(error))
        };
        let Some(outgoing) = link.mapping.out(&event).map_err(own_fault)? else {
            self.metrics.passed_over.increment(1);
            return Ok(());
        };
        let body = outgoing.marked(&via.and(&link.name)).map_err(|e| own_fault(e.into()))?;
        let channel = outgoing.channel();
        let span = telemetry::redis_publish(&link.name, channel, &event);
        let sent = self.connection.publish(channel, &body).instrument(span.clone()).await;
        match sent {
            Ok(0) => {
                tracing::debug!(redis = link.name, channel, id = %event.id, "nobody listens");
                self.metrics.unheard.increment(1);
                Ok(())
            }
            Ok(_) => {
                self.metrics.heard.increment(1);
                Ok(())
            }
            Err(away) => {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", "away");
                Err(away.into())
            }
        }
    }
}
