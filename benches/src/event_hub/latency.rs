//! From the publish to the handler at a steady rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use measure::{Latency, Report};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tramline_event_hub::handler::Data;
use tramline_event_hub::{Hub, Outcome};

use crate::event_hub::order::Order;
use crate::event_hub::{Allocations, Load, Section, bed};

pub(super) async fn run(load: &Load, counter: Option<Allocations>) -> anyhow::Result<Report> {
    let origin = Instant::now();
    let hub = bed::open(load).await?;
    let events = load.args.events;
    let samples = Arc::new(Mutex::new(Latency::with_capacity(usize::try_from(events)?)));
    let done = Arc::new(Notify::new());
    let handler = {
        let (samples, done) = (Arc::clone(&samples), Arc::clone(&done));
        move |Data(order): Data<Order>| {
            let took = origin.elapsed().saturating_sub(Duration::from_nanos(order.sent));
            samples.lock().unwrap_or_else(PoisonError::into_inner).add(took);
            if order.number == events {
                done.notify_one();
            }
            async { Outcome::Ack }
        }
    };
    let section = Section::start(load, counter)?;
    let (publishing, consuming) = tokio::join!(
        publish(&hub, load, origin),
        hub.consume(&load.args.queue, bed::consumer(load), handler, done.notified()),
    );
    publishing?;
    consuming?;
    let mut report = section.finish(events)?;
    report.latency =
        Some(std::mem::take(&mut *samples.lock().unwrap_or_else(PoisonError::into_inner)).percentiles());
    hub.shutdown().await;
    Ok(report)
}

/// Each in a task of its own, so that a slow confirm does not hold the next event.
async fn publish(hub: &Hub, load: &Load, origin: Instant) -> anyhow::Result<()> {
    // As with the others, the consumer is there first: what waits for it to open says nothing about a steady rate.
    while !hub.health().consumers.iter().any(|consumer| consumer.active) {
        sleep(Duration::from_millis(1)).await;
    }
    let mut tick = interval(Duration::from_secs(1) / load.args.rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks = JoinSet::new();
    for number in 1..=load.args.events {
        tick.tick().await;
        let hub = hub.clone();
        tasks.spawn(async move {
            let event = Order::event(number, u64::try_from(origin.elapsed().as_nanos())?)?;
            let confirmed = hub.publish(&event).await;
            ensure!(confirmed.is_ok(), "{confirmed:?}");
            Ok(())
        });
        while let Some(ended) = tasks.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
