//! Consuming through a typed handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use measure::Report;
use tokio::sync::Notify;
use tramline_event_hub::handler::Data;
use tramline_event_hub::{Hub, Outcome};

use crate::event_hub::order::Order;
use crate::event_hub::{Allocations, Load, Section, bed};

/// Takes so many; measured until the last acknowledgement is out and the consumer has ended.
pub(super) async fn run(load: &Load, counter: Option<Allocations>) -> anyhow::Result<Report> {
    let hub = bed::open(load).await?;
    let section = Section::start(load, counter)?;
    all(&hub, load).await?;
    let report = section.finish(load.args.events)?;
    hub.shutdown().await;
    Ok(report)
}

/// Handles so many events and ends.
pub(super) async fn all(hub: &Hub, load: &Load) -> anyhow::Result<()> {
    let (events, count, done) = (load.args.events, AtomicU64::new(0), Arc::new(Notify::new()));
    let handler = {
        let done = Arc::clone(&done);
        move |_: Data<Order>| {
            if count.fetch_add(1, Ordering::Relaxed) + 1 == events {
                done.notify_one();
            }
            async { Outcome::Ack }
        }
    };
    hub.consume(&load.args.queue, bed::consumer(load), handler, done.notified()).await?;
    Ok(())
}
