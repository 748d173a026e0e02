//! Bare lapin, its own recovery off, as it is by default.

mod consume;
mod publish;
mod truth;

use clap::{Parser, Subcommand};
use lapin::{Channel, Connection, ConnectionProperties};
use measure::Args;

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
    /// From the publish to the consumer at a steady rate
    Latency(Args),
    /// Whether answers are true: several tasks on one channel
    Concurrent(Args),
    /// Whether answers are true: one task, and every other publish leads nowhere
    Mandatory(Args),
    /// Whether «all are confirmed» is true
    Waiting(Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().row {
        Row::Publish(args) => publish::windowed(&args).await?.print(),
        Row::Consume(args) => consume::run(&args).await?.print(),
        Row::Awaited(args) => publish::awaited(&args).await?.print(),
        Row::Latency(args) => consume::latency(&args).await?.print(),
        Row::Concurrent(args) => truth::concurrent(&args).await?.print(),
        Row::Mandatory(args) => truth::mandatory(&args).await?.print(),
        Row::Waiting(args) => truth::waiting(&args).await?.print(),
    }
}

async fn channel(args: &Args) -> anyhow::Result<(Connection, Channel)> {
    let connection = Connection::connect(&args.url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}
