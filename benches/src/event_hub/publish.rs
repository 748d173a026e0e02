//! Publishing with confirms.

use anyhow::anyhow;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use measure::{Latency, Report, Style};
use tokio::time::Instant;
use tramline_event_hub::Hub;

use crate::event_hub::order::Order;
use crate::event_hub::{Allocations, Load, Section, bed};

/// So many calls of `publish_all` share the window.
const CALLS: usize = 4;

pub(super) async fn windowed(load: &Load, counter: Option<Allocations>) -> anyhow::Result<Report> {
    let hub = bed::open(load).await?;
    // Connected and warm: the first publish opens the channel.
    one(&hub, 0).await?;
    let rest = load.args.events - 1;
    let section = Section::start(load, counter)?;
    flood(&hub, load, rest).await?;
    let report = section.finish(rest)?;
    hub.shutdown().await;
    Ok(report)
}

/// Publishes so many with a full window, each confirmed.
pub(super) async fn flood(hub: &Hub, load: &Load, events: u64) -> anyhow::Result<()> {
    let window = load.args.window;
    if load.args.style == Style::Each {
        return stream::iter(0..events)
            .map(|number| one(hub, number))
            .buffer_unordered(window)
            .try_collect()
            .await;
    }
    let size = window.div_ceil(CALLS) as u64;
    stream::iter(0..events.div_ceil(size))
        .map(|call| many(hub, call * size, ((call + 1) * size).min(events)))
        .buffer_unordered(CALLS)
        .try_collect()
        .await
}

pub(super) async fn awaited(load: &Load, counter: Option<Allocations>) -> anyhow::Result<Report> {
    let hub = bed::open(load).await?;
    one(&hub, 0).await?;
    let mut latency = Latency::with_capacity(usize::try_from(load.args.events)?);
    let section = Section::start(load, counter)?;
    for number in 1..load.args.events {
        let start = Instant::now();
        one(&hub, number).await?;
        latency.add(start.elapsed());
    }
    let mut report = section.finish(load.args.events - 1)?;
    report.latency = Some(latency.percentiles());
    hub.shutdown().await;
    Ok(report)
}

async fn one(hub: &Hub, number: u64) -> anyhow::Result<()> {
    let event = Order::event(number, 0)?;
    let _receipt = hub.publish(&event).await.map_err(|error| anyhow!("{error}"))?;
    Ok(())
}

async fn many(hub: &Hub, from: u64, to: u64) -> anyhow::Result<()> {
    let events = (from..to).map(|number| Order::event(number, 0)).collect::<anyhow::Result<Vec<_>>>()?;
    for answer in hub.publish_all(events).await {
        let _receipt = answer.map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}
