//! The hub and its topology.

use anyhow::ensure;
use measure::{EXCHANGE, KEY};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Hub, HubConfig};

use crate::event_hub::{Kind, Load};

/// A hub on the broker, with everything declared.
pub(super) async fn open(load: &Load) -> anyhow::Result<Hub> {
    let mut config = AmqpConfig::default();
    config.hub = hub(load);
    let hub = Hub::amqp(&load.args.url, config)?;
    let declared = hub.declare(&topology(load)).await?;
    ensure!(declared.conflicts.is_empty(), "declared differently: {:?}", declared.conflicts);
    Ok(hub)
}

pub(super) fn hub(load: &Load) -> HubConfig {
    let mut config = HubConfig::default();
    EXCHANGE.clone_into(&mut config.exchange);
    config.window = load.args.window;
    config
}

pub(super) fn consumer(load: &Load) -> ConsumerConfig {
    let mut config = ConsumerConfig::default();
    config.prefetch = load.args.prefetch;
    if let Some(concurrency) = load.concurrency {
        config.concurrency = concurrency;
    }
    config
}

pub(super) fn topology(load: &Load) -> Topology {
    let name = &load.args.queue;
    let queue = match load.kind {
        Kind::Classic => Queue::classic(name),
        Kind::Quorum => Queue::quorum(name),
    };
    Topology::new()
        .exchange(Exchange::topic(EXCHANGE))
        .queue(queue)
        .binding(Binding::new(EXCHANGE, KEY, name))
}
