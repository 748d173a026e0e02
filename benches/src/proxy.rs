//! A proxy under load: what sends to it, what answers behind it, and what it costs meanwhile.
//!
//! Both programs have one thread and speak bytes that were made before the clock starts, so that they fit on one
//! processor beside a proxy on another. Each run prints one line of JSON.

mod answer;
mod check;
mod closed_loop;
mod http2;
mod idle;
mod meter;
mod origin;
mod report;
mod request;
mod stream;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The path of the small answer.
const SMALL_PATH: &str = "/1k";

/// The size of the small answer's body, in bytes.
const SMALL: usize = 1024;

/// What a connection reads or writes at once when much is to come.
const PIECE: usize = 256 * 1024;

#[derive(Debug, Parser)]
struct Load {
    #[command(subcommand)]
    row: Row,
}

#[derive(Debug, Subcommand)]
enum Row {
    /// One request whose way through is looked at: the header work that all have to do
    Check(Target),
    /// Requests in a closed loop: each connection sends its next one when it has its answer
    Small {
        #[command(flatten)]
        target: Target,
        /// How many connections
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Not measured, before
        #[arg(long, value_parser = seconds, default_value = "1")]
        warmup: Duration,
        /// Measured
        #[arg(long, value_parser = seconds, default_value = "5")]
        seconds: Duration,
        /// For which of these routes, one after the other; for none of them with 0
        #[arg(long, default_value_t = 0)]
        routes: u32,
    },
    /// One upload
    Up {
        #[command(flatten)]
        target: Target,
        /// How many bytes
        #[arg(long, default_value_t = 1 << 30)]
        bytes: u64,
    },
    /// One download
    Down {
        #[command(flatten)]
        target: Target,
        /// How many bytes
        #[arg(long, default_value_t = 1 << 30)]
        bytes: u64,
    },
    /// Connections that had one answer each, and are kept
    Idle {
        #[command(flatten)]
        target: Target,
        /// How many connections
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// How long they lie before they are measured
        #[arg(long, value_parser = seconds, default_value = "6")]
        settle: Duration,
    },
    /// Makes a certificate and its key, in cert.pem, key.pem and both.pem
    Certificate {
        /// Where
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// The proxy
    #[arg(long)]
    addr: SocketAddr,
    /// The proxy's first process; those below it count too
    #[arg(long)]
    process: Option<u32>,
    /// Within TLS, with the certificate in this folder; not for bodies, nor for what is idle
    #[arg(long)]
    tls: Option<PathBuf>,
    /// Over HTTP/2: by ALPN within TLS, by prior knowledge without; for small answers of one path
    #[arg(long)]
    http2: bool,
}

/// Runs the load program.
///
/// # Errors
///
/// If an answer is not what it has to be, or the proxy is gone.
pub fn load() -> anyhow::Result<()> {
    match Load::parse().row {
        Row::Certificate { folder } => wire::certify(&folder),
        Row::Check(target) => check::run(&target),
        // As many streams as there would be connections.
        Row::Small { target, connections, warmup, seconds, .. } if target.http2 => {
            http2::run(&target, connections, warmup, seconds)?.print()
        }
        Row::Small { target, connections, warmup, seconds, routes } => {
            closed_loop::run(&target, connections, warmup, seconds, routes)?.print()
        }
        Row::Up { target, bytes } => stream::up(&target, bytes)?.print(),
        Row::Down { target, bytes } => stream::down(&target, bytes)?.print(),
        Row::Idle { target, connections, settle } => idle::run(&target, connections, settle)?.print(),
    }
}

#[derive(Debug, Parser)]
struct Origin {
    /// Where to listen
    listen: SocketAddr,
}

/// Runs the origin until it is killed.
///
/// # Errors
///
/// If it cannot listen.
pub fn origin() -> anyhow::Result<()> {
    origin::run(Origin::parse().listen)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
