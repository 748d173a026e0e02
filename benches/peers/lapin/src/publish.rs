//! Publishing with confirms.

use std::collections::VecDeque;

use anyhow::ensure;
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, PublisherConfirm};
use measure::{Args, BODY, EXCHANGE, KEY, Latency, Meter, Report, Style};
use tokio::time::Instant;

/// So many are enqueued before any is awaited.
const BATCH: u64 = 100;

pub async fn windowed(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = crate::channel(args).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let body = [b'x'; BODY];
    let mut out = VecDeque::with_capacity(args.window);
    let mut sent = 0;
    let meter = Meter::start(args.broker)?;
    while sent < args.events {
        let batch = if args.style == Style::Each { 1 } else { BATCH.min(args.events - sent) };
        while out.len() + usize::try_from(batch)? > args.window {
            confirmed(out.pop_front()).await?;
        }
        if args.style == Style::Each {
            out.push_back(publish(&channel, &body).await?);
        } else {
            out.extend(try_join_all((0..batch).map(|_| publish(&channel, &body))).await?);
        }
        sent += batch;
    }
    while !out.is_empty() {
        confirmed(out.pop_front()).await?;
    }
    meter.finish(args.events)
}

pub async fn awaited(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = crate::channel(args).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let body = [b'x'; BODY];
    let mut latency = Latency::with_capacity(usize::try_from(args.events)?);
    let meter = Meter::start(args.broker)?;
    for _ in 0..args.events {
        let start = Instant::now();
        confirmed(Some(publish(&channel, &body).await?)).await?;
        latency.add(start.elapsed());
    }
    let mut report = meter.finish(args.events)?;
    report.latency = Some(latency.percentiles());
    Ok(report)
}

pub async fn publish(channel: &Channel, body: &[u8]) -> Result<PublisherConfirm, lapin::Error> {
    let properties = BasicProperties::default().with_delivery_mode(2);
    channel.basic_publish(EXCHANGE.into(), KEY.into(), BasicPublishOptions::default(), body, properties).await
}

pub async fn confirmed(confirm: Option<PublisherConfirm>) -> anyhow::Result<()> {
    if let Some(confirm) = confirm {
        ensure!(confirm.await?.is_ack(), "refused");
    }
    Ok(())
}
