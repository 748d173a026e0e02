//! A socket client that speaks just enough AMQP 0-9-1 to find the broker's own limit: frames encoded before
//! the clock starts, one write for all that there is room for, answers counted and nothing else.
//!
//! It also tidies up for the other programs, which then need no code for it.

mod connection;
mod consume;
mod latency;
mod publish;
mod wire;

use clap::{Parser, Subcommand};
use measure::Args;

use crate::connection::Connection;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    row: Row,
}

#[derive(Subcommand)]
enum Row {
    /// Publishes with confirms, window after window
    Publish(Args),
    /// Takes what is there, many deliveries to an acknowledgement
    Consume(Args),
    /// One publish at a time, each confirmed before the next
    Awaited(Args),
    /// From the publish to the consumer at a steady rate
    Latency(Args),
    /// Publishes so many, unmeasured
    Fill(Args),
    /// Deletes the queue
    Remove(Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().row {
        Row::Publish(args) => publish::windowed(&args)?.print(),
        Row::Consume(args) => consume::run(&args)?.print(),
        Row::Awaited(args) => publish::awaited(&args)?.print(),
        Row::Latency(args) => latency::run(&args)?.print(),
        Row::Fill(args) => publish::windowed(&args).map(drop),
        Row::Remove(args) => Connection::open(&args.url)?.delete(&args.queue),
    }
}
