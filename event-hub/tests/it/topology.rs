//! The topology beside a real broker.

mod kinds;
mod letters;
mod managed;

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tramline_event_hub::topology::{Binding, Exchange, Policy, Queue, Topology};
use tramline_event_hub::{AmqpConfig, Hub, MemoryConfig};

use crate::support::{name, soon, until};

fn part(prefix: &str, n: usize) -> Topology {
    let (exchange, queue) = (format!("{prefix}.events"), format!("{prefix}.{n}"));
    Topology::new().exchange(Exchange::topic(&exchange)).queue(Queue::quorum(&queue)).binding(Binding::new(
        &exchange,
        format!("k{n}"),
        &queue,
    ))
}

/// Several declare at once: each hears of its own queue that it is new, and none of it a second time.
async fn parts_at_once(hub: &Hub, prefix: &str, count: usize) {
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let (hub, part, barrier) = (hub.clone(), part(prefix, n), Arc::clone(&barrier));
        tasks.spawn(async move {
            barrier.wait().await;
            let declared = hub.declare(&part).await.unwrap();
            assert_eq!(declared.conflicts, []);
            (part.queues[0].name.clone(), declared.made)
        });
    }
    while let Some(declared) = tasks.join_next().await {
        let (queue, made) = declared.unwrap();
        assert_eq!(made.into_iter().collect::<Vec<_>>(), [queue]);
    }
    for n in 0..count {
        assert!(hub.declare(&part(prefix, n)).await.unwrap().made.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn declarations_at_once_hear_of_their_own_in_memory() {
    let hub = Hub::memory(MemoryConfig::default());
    for _ in 0..50 {
        soon("all", parts_at_once(&hub, &name(), 8)).await;
    }
}

/// And each connection that follows makes all of it, not what one of them happened to know.
#[tokio::test]
async fn declarations_at_once_hear_of_their_own_and_all_of_it_is_made_again() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let (fault, cut_url) = devkit::Fault::in_front_of(&url).await.unwrap();
    let hub = Hub::amqp(&cut_url, AmqpConfig::default()).unwrap();
    let prefix = name();
    soon("all", parts_at_once(&hub, &prefix, 8)).await;

    fault.cut();
    until("the loss", || !hub.health().connected).await;
    let raw = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    for n in 0..8 {
        let options = lapin::options::QueueDeleteOptions::default();
        channel.queue_delete(format!("{prefix}.{n}").into(), options).await.unwrap();
    }
    fault.heal();
    until("the connection", || hub.health().connected).await;
    for n in 0..8 {
        assert!(hub.queue(&format!("{prefix}.{n}")).await.unwrap().is_some(), "queue {n} was made again");
    }
    hub.shutdown().await;
}

/// The memory hub shows all of itself.
#[tokio::test]
async fn the_memory_hub_is_compared_too() {
    let hub = Hub::memory(MemoryConfig::default());
    let wanted = part("m", 1);
    hub.declare(&wanted).await.unwrap();
    let difference = hub.compare(&wanted).await.unwrap();
    assert!(difference.is_empty(), "{difference}");
    let other = part("m", 2).queue(Queue::quorum("m.1").with_delivery_limit(Some(3)));
    let difference = hub.compare(&other).await.unwrap().to_string();
    for line in [
        "missing    queue m.2",
        "different  queue m.1: delivery-limit is not set instead of 3",
        "surplus    binding of queue m.1 to m.events by \"k1\"",
    ] {
        assert!(difference.contains(line), "{difference}");
    }
}

/// Without a management the memory hub and AMQP declare what policies come to.
#[tokio::test]
async fn policies_become_arguments_where_nobody_can_set_them() {
    let prefix = name();
    let wanted = part(&prefix, 1).policy(
        Policy::queues("short", format!("^{prefix}")).with("max-length", 5).with("delivery-limit", 7),
    );
    let resolved = wanted.resolved();
    let queue = resolved.find_queue(&format!("{prefix}.1")).unwrap();
    assert_eq!((queue.max_length, queue.delivery_limit), (Some(5), Some(7)));
    let memory = Hub::memory(MemoryConfig::default());
    memory.declare(&wanted).await.unwrap();
    let difference = memory.compare(&resolved).await.unwrap();
    assert!(difference.is_empty(), "{difference}");
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let hub = Hub::amqp(&url, AmqpConfig::default()).unwrap();
    soon("the policies", hub.declare(&wanted)).await.unwrap();
    // The same arguments, said outright, are no conflict.
    let declared = soon("the arguments", hub.declare(&resolved)).await.unwrap();
    assert_eq!(declared.conflicts, []);
    hub.shutdown().await;
}
