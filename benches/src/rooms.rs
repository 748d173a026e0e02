//! A room server under load: members that only count what comes, one who publishes, and what it costs meanwhile.
//!
//! One thread and no runtime, so that it fits on one processor beside a server on another. Each run prints one line of
//! JSON.

mod connect;
mod crowd;
mod dialect;
mod event;
mod fanout;
mod floor;
mod frames;
mod idle;
mod member;
mod meter;
mod paced;
mod publisher;
mod queues;
mod report;
mod sources;
mod stuck;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::dialect::Dialect;

#[derive(Debug, Parser)]
struct Load {
    #[command(subcommand)]
    row: Row,
}

#[derive(Debug, Subcommand)]
enum Row {
    /// Events in a closed loop: the next ones are published when every member has the last ones
    Fanout {
        #[command(flatten)]
        target: Target,
        /// How many rooms
        #[arg(long, default_value_t = 1)]
        rooms: usize,
        /// How many members each has
        #[arg(long, default_value_t = 1000)]
        members: usize,
        /// How many events are published at once: all to the room, or one each to as many rooms
        #[arg(long, default_value_t = 1)]
        burst: usize,
        /// Not measured, before
        #[arg(long, value_parser = seconds, default_value = "1")]
        warmup: Duration,
        /// Measured
        #[arg(long, value_parser = seconds, default_value = "5")]
        seconds: Duration,
    },
    /// The same with members that never read, and without them
    Stuck {
        #[command(flatten)]
        target: Target,
        /// How many members the room has that read
        #[arg(long, default_value_t = 1000)]
        members: usize,
        /// How many events are published at once
        #[arg(long, default_value_t = 8)]
        burst: usize,
        /// How many never read
        #[arg(long, default_value_t = 10)]
        stuck: usize,
        /// Not measured, before each
        #[arg(long, value_parser = seconds, default_value = "1")]
        warmup: Duration,
        /// Measured, of each
        #[arg(long, value_parser = seconds, default_value = "3")]
        seconds: Duration,
    },
    /// Events at a steady rate: how long each takes to the last member
    Paced {
        #[command(flatten)]
        target: Target,
        /// How many members the room has
        #[arg(long, default_value_t = 1000)]
        members: usize,
        /// How many deliveries there are in a second
        #[arg(long, default_value_t = 20_000)]
        rate: u32,
        /// Not measured, before
        #[arg(long, value_parser = seconds, default_value = "1")]
        warmup: Duration,
        /// Measured
        #[arg(long, value_parser = seconds, default_value = "10")]
        seconds: Duration,
    },
    /// Members that come to a room, handshake and joining included
    Connect {
        #[command(flatten)]
        target: Target,
        /// How many come
        #[arg(long, default_value_t = 2000)]
        count: usize,
        /// How many are on their way at once
        #[arg(long, default_value_t = 16)]
        together: usize,
        /// How many are in the room before
        #[arg(long, default_value_t = 0)]
        before: usize,
    },
    /// Members that have nothing to hear
    Idle {
        #[command(flatten)]
        target: Target,
        /// How many
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// How long they lie before they are measured
        #[arg(long, value_parser = seconds, default_value = "6")]
        settle: Duration,
        /// How long they are kept from then on, for what it costs
        #[arg(long, value_parser = seconds, default_value = "0")]
        seconds: Duration,
    },
}

/// The server, and how it is spoken to.
#[derive(Debug, Args)]
struct Target {
    /// Where members connect
    #[arg(long)]
    addr: SocketAddr,
    /// Where events are published: a line each of `ROOM ID EVENT`
    #[arg(long)]
    control: SocketAddr,
    /// The server's first process; those below it count too
    #[arg(long)]
    process: u32,
    /// What members say
    #[arg(long, value_enum, default_value_t = Dialect::Plain)]
    dialect: Dialect,
}

/// Runs the load program.
///
/// # Errors
///
/// If a member does not get an event, or gets one twice, or out of order; if the server is gone.
pub fn load() -> anyhow::Result<()> {
    match Load::parse().row {
        Row::Fanout { target, rooms, members, burst, warmup, seconds } => {
            let shape = fanout::Shape { rooms, members, burst };
            fanout::run(&target, &shape, warmup, seconds)?.print()
        }
        Row::Stuck { target, members, burst, stuck, warmup, seconds } => {
            let shape = fanout::Shape { rooms: 1, members, burst };
            stuck::run(&target, &shape, stuck, warmup, seconds)?.print()
        }
        Row::Paced { target, members, rate, warmup, seconds } => {
            paced::run(&target, members, rate, warmup, seconds)?.print()
        }
        Row::Connect { target, count, together, before } => {
            connect::run(&target, count, together, before)?.print()
        }
        Row::Idle { target, connections, settle, seconds } => {
            idle::run(&target, connections, settle, seconds)?.print()
        }
    }
}

#[derive(Debug, Parser)]
struct Floor {
    /// Where to listen for members
    listen: SocketAddr,
    /// Where to listen for what is published
    control: SocketAddr,
}

/// Runs the floor until it is killed: an epoll loop that sends each event to each member by itself.
///
/// # Errors
///
/// If it cannot listen.
pub fn floor() -> anyhow::Result<()> {
    let Floor { listen, control } = Floor::parse();
    floor::run(listen, control)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
