//! What can be asked for.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};

/// Events, queues and dead letters from a shell.
#[derive(Debug, Parser)]
#[command(name = "tramline-events", version, about, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What all commands know.
#[derive(Debug, ClapArgs)]
pub(crate) struct Common {
    /// The broker: amqp://… or amqps://… (else the variable RABBITMQ_URL)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// The database of the dead letters: postgres://… or sqlite:… (else the variable DATABASE_URL)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// The broker's management, which sees what AMQP cannot: http://… or https://… (else the variable
    /// RABBITMQ_MANAGEMENT_URL)
    #[cfg(feature = "management")]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) management: Option<String>,
    /// One JSON object a line on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Logs what happens underneath
    #[arg(long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Exchanges, queues and bindings
    #[command(subcommand)]
    Topology(Topology),
    /// Shows events as they are published, through a queue of its own
    Tail(Tail),
    /// Publishes events: one JSON object a line on standard input, a CloudEvent or {type, source, data}
    Publish(Publish),
    /// Dead letters in a database
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    #[command(subcommand)]
    DeadLetters(DeadLetters),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topology {
    /// Prints a topology
    Print(TopologyFile),
    /// Compares a topology with the broker; exit code 1 when something is missing or different there
    Diff(TopologyFile),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TopologyFile {
    /// The definitions.json
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Of which virtual host in it
    #[arg(long, default_value = "/", value_name = "NAME")]
    pub(crate) vhost: String,
}

#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("what").required(true).args(["queue", "bind"])))]
pub(crate) struct Tail {
    /// A work queue: shows what is published to it from now on, and takes nothing from it
    #[arg(requires = "definitions")]
    pub(crate) queue: Option<String>,
    /// A key or pattern, as orders.# (repeatable)
    #[arg(long, value_name = "KEY", conflicts_with = "queue")]
    pub(crate) bind: Vec<String>,
    /// The exchange that the keys are of
    #[arg(long, default_value = "events", value_name = "NAME")]
    pub(crate) exchange: String,
    /// The definitions.json that says which keys lead to the queue
    #[arg(long, value_name = "FILE")]
    pub(crate) definitions: Option<PathBuf>,
    /// Of which virtual host in it
    #[arg(long, default_value = "/", value_name = "NAME")]
    pub(crate) vhost: String,
    /// Ends after so many
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Publish {
    /// The exchange; it must be there
    #[arg(long, default_value = "events", value_name = "NAME")]
    pub(crate) exchange: String,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Moves letters from their queue into the database, until it is empty
    Drain(Drain),
    /// Lists letters, the latest first
    List(List),
    /// Shows one letter with its content
    Show {
        /// Its number
        id: i64,
    },
    /// Sends letters back into the queues they died in
    Redrive(Redrive),
    /// Deletes letters for good
    Delete(Selected),
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, ClapArgs)]
pub(crate) struct Drain {
    /// The queue of dead letters
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: String,
    /// Goes on, and waits for more
    #[arg(long)]
    pub(crate) follow: bool,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: usize,
    /// Where the last list ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, ClapArgs)]
pub(crate) struct Redrive {
    #[command(flatten)]
    pub(crate) selected: Selected,
    /// So many a second
    #[arg(long, default_value_t = 100.0, value_name = "N")]
    pub(crate) rate: f64,
    /// Also letters older than the seven days for which inboxes know what had its effect
    #[arg(long)]
    pub(crate) however_old: bool,
}

/// All, or what fits.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, ClapArgs)]
pub(crate) struct Selected {
    /// All that are stored now
    #[arg(long, conflicts_with_all = ["id", "from_queue", "event_type", "key", "reason", "handler", "event", "from", "to"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, ClapArgs)]
pub(crate) struct Filter {
    /// This letter (repeatable)
    #[arg(long, value_name = "ID")]
    pub(crate) id: Vec<i64>,
    /// Those that died in this queue
    #[arg(long, value_name = "NAME")]
    pub(crate) from_queue: Option<String>,
    /// Those of this event type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// Those first published with this key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Those that died for this reason
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Those that this consumer gave up on
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Those of the event with this id
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
    /// Those that died at this time or later, as 2026-11-26T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<jiff::Timestamp>,
    /// Those that died before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<jiff::Timestamp>,
}
