//! amqprs, which tells of confirms and deliveries by callback.

mod callbacks;

use std::sync::Arc;

use amqprs::BasicProperties;
use amqprs::callbacks::DefaultConnectionCallback;
use amqprs::channel::{
    BasicConsumeArguments, BasicPublishArguments, BasicQosArguments, Channel, ConfirmSelectArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use anyhow::Context;
use clap::{Parser, Subcommand};
use measure::{Args, BODY, EXCHANGE, KEY, Latency, Meter, Report};
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use crate::callbacks::{Confirms, Taker};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    row: Row,
}

#[derive(Subcommand)]
enum Row {
    /// Publishes with confirms, window after window
    Publish(Args),
    /// Takes what is there
    Consume(Args),
    /// One publish at a time, each confirmed before the next
    Awaited(Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().row {
        Row::Publish(args) => publish(&args).await?.print(),
        Row::Consume(args) => consume(&args).await?.print(),
        Row::Awaited(args) => awaited(&args).await?.print(),
    }
}

async fn publish(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = open(args).await?;
    let (count, mut confirmed) = watch::channel(0);
    confirms(&channel, count).await?;
    let meter = Meter::start(args.broker)?;
    for sent in 0..args.events {
        if sent - *confirmed.borrow() >= args.window as u64 {
            confirmed.wait_for(|confirmed| sent - confirmed < args.window as u64).await?;
        }
        send(&channel).await?;
    }
    confirmed.wait_for(|confirmed| *confirmed == args.events).await?;
    meter.finish(args.events)
}

async fn awaited(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = open(args).await?;
    let (count, mut confirmed) = watch::channel(0);
    confirms(&channel, count).await?;
    let mut latency = Latency::with_capacity(usize::try_from(args.events)?);
    let meter = Meter::start(args.broker)?;
    for number in 1..=args.events {
        let start = Instant::now();
        send(&channel).await?;
        confirmed.wait_for(|confirmed| *confirmed >= number).await?;
        latency.add(start.elapsed());
    }
    let mut report = meter.finish(args.events)?;
    report.latency = Some(latency.percentiles());
    Ok(report)
}

async fn consume(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = open(args).await?;
    channel.basic_qos(BasicQosArguments::new(0, args.prefetch, false)).await?;
    let (count, mut taken) = watch::channel(0);
    let meter = Meter::start(args.broker)?;
    let taker = Taker::new(args, Arc::new(count));
    channel.basic_consume(taker, BasicConsumeArguments::new(&args.queue, "amqprs")).await?;
    taken.wait_for(|taken| *taken >= args.events).await?;
    meter.finish(args.events)
}

async fn open(args: &Args) -> anyhow::Result<(Connection, Channel)> {
    let url = Url::parse(&args.url)?;
    let host = url.host_str().context("a URL without a host")?;
    let mut open = OpenConnectionArguments::new(host, url.port().unwrap_or(5672), "guest", "guest");
    let vhost = url.path().trim_start_matches('/');
    open.virtual_host(if matches!(vhost, "" | "%2f" | "%2F") { "/" } else { vhost });
    let connection = Connection::open(&open).await?;
    connection.register_callback(DefaultConnectionCallback).await?;
    let channel = connection.open_channel(None).await?;
    Ok((connection, channel))
}

async fn confirms(channel: &Channel, count: watch::Sender<u64>) -> anyhow::Result<()> {
    channel.register_callback(Confirms::new(count)).await?;
    channel.confirm_select(ConfirmSelectArguments::default()).await?;
    Ok(())
}

async fn send(channel: &Channel) -> anyhow::Result<()> {
    let properties = BasicProperties::default().with_delivery_mode(2).finish();
    let to = BasicPublishArguments::new(EXCHANGE, KEY);
    channel.basic_publish(properties, vec![b'x'; BODY], to).await?;
    Ok(())
}
