//! Consuming with acknowledgements, and the way from one side to the other.

use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use measure::{Args, BODY, Latency, Meter, Report, Style};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::publish::{confirmed, publish};

pub async fn run(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = crate::channel(args).await?;
    let meter = Meter::start(args.broker)?;
    let mut consumer = consume(&channel, args).await?;
    let (mut seen, mut acked) = (0, 0);
    while seen < args.events {
        let delivery = consumer.next().await.context("the consumer ended")??;
        seen += 1;
        if args.style == Style::Each {
            delivery.ack(BasicAckOptions::default()).await?;
        } else if seen - acked >= args.ack_every || seen == args.events {
            delivery.ack(BasicAckOptions { multiple: true }).await?;
            acked = seen;
        }
    }
    meter.finish(seen)
}

/// A task publishes, each awaited in a task of its own; another consumes, on a connection of its own.
pub async fn latency(args: &Args) -> anyhow::Result<Report> {
    let origin = Instant::now();
    let (_consuming, channel) = crate::channel(args).await?;
    let (_publishing, publisher) = crate::channel(args).await?;
    publisher.confirm_select(ConfirmSelectOptions::default()).await?;
    let meter = Meter::start(args.broker)?;
    let mut consumer = consume(&channel, args).await?;
    let (events, rate) = (args.events, args.rate);
    let publishing = tokio::spawn(async move {
        let mut tick = interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut out = Vec::with_capacity(usize::try_from(events)?);
        for _ in 0..events {
            tick.tick().await;
            let mut body = [b'x'; BODY];
            body[..8].copy_from_slice(&u64::try_from(origin.elapsed().as_nanos())?.to_be_bytes());
            out.push(publish(&publisher, &body).await?);
        }
        for confirm in out {
            confirmed(Some(confirm)).await?;
        }
        anyhow::Ok(())
    });
    let mut latency = Latency::with_capacity(usize::try_from(events)?);
    for _ in 0..events {
        let delivery = consumer.next().await.context("the consumer ended")??;
        let sent = delivery.data.get(..8).context("a short body")?;
        let sent = Duration::from_nanos(u64::from_be_bytes(sent.try_into()?));
        latency.add(origin.elapsed().saturating_sub(sent));
        delivery.ack(BasicAckOptions::default()).await?;
    }
    publishing.await??;
    let mut report = meter.finish(events)?;
    report.latency = Some(latency.percentiles());
    Ok(report)
}

async fn consume(channel: &Channel, args: &Args) -> anyhow::Result<Consumer> {
    channel.basic_qos(args.prefetch, BasicQosOptions::default()).await?;
    let (queue, none) = (args.queue.as_str(), FieldTable::default());
    Ok(channel.basic_consume(queue.into(), "lapin".into(), BasicConsumeOptions::default(), none).await?)
}
