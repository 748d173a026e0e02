//! The command line, of the program and of its worker processes.

use clap::{Parser, Subcommand, ValueEnum};

/// Mistreats the event hub on private servers, and accounts for every event at the end.
#[derive(Debug, Parser)]
#[command(name = "event-hub-torture")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// For how long there is traffic and trouble; starting before and draining after take their own time
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Chooses the faults and their times, and what the events do; drawn and printed without it
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One of the processes that are killed; the program starts them itself
    #[command(hide = true)]
    Worker(WorkerArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    pub(crate) role: Role,
    /// Its place, the same over its lives
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) amqp: String,
    #[arg(long)]
    pub(crate) postgres: String,
    #[arg(long)]
    pub(crate) seed: u64,
}

/// What a worker process does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, ValueEnum)]
pub(crate) enum Role {
    /// Handles events
    Consumer,
    /// Writes events in transactions, and relays them
    Outbox,
    /// Moves dead letters into their table, and sends some of them back
    Letters,
    /// Publishes events, and again until they are confirmed
    Publisher,
}

// === impl Role ===

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Outbox => "outbox",
            Self::Letters => "letters",
            Self::Publisher => "publisher",
        }
    }
}
