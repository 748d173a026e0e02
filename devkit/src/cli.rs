//! `cargo dev`: test, check and run the system with one word each.

mod bench;
mod check;
mod fuzz;
mod install;
mod npm;
mod test;
mod torture;
mod types;
mod up;
pub(crate) mod workspace;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// The commands of the developers of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs every test, on real servers that it installs if need be and starts.
    Test(test::Options),
    /// Checks format, lints, docs, features and the rules of the house. Needs no server.
    Check(check::Options),
    /// Measures a crate beside its peers, in turns on one machine.
    Bench(bench::Options),
    /// Feeds what strangers write to the parsers of a crate, for as long as you like.
    Fuzz(fuzz::Options),
    /// Mistreats a crate on servers that are killed and cut off, and accounts for every event.
    Torture(torture::Options),
    /// Writes the TypeScript that Rust types are told in. `check` compares it.
    Types(types::Options),
    /// Runs the servers, or the whole system, until Ctrl-C.
    Up(up::Options),
}

/// How a command ended: `Ok(false)` has told what is wrong, an error has yet to be told.
type Outcome = anyhow::Result<bool>;

/// Runs the command that this process was started with.
///
/// Ctrl-C and SIGTERM end it; servers that it started end with it.
///
/// # Cancel safety
///
/// If dropped, everything that it started is killed.
pub async fn run() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        // These own their servers: dropping the future ends them.
        Command::Test(options) => or_interrupted(test::run(&options)).await,
        Command::Bench(options) => or_interrupted(bench::run(&options)).await,
        Command::Fuzz(options) => or_interrupted(fuzz::run(&options)).await,
        Command::Types(options) => or_interrupted(types::run(&options)).await,
        Command::Check(options) => or_interrupted(check::run(&options)).await,
        // These end in good order by themselves.
        Command::Torture(options) => torture::run(&options).await,
        Command::Up(options) => up::run(&options).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn or_interrupted(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::select! {
        outcome = command => outcome,
        () = interrupted() => anyhow::bail!("interrupted"),
    }
}

/// Returns at Ctrl-C or SIGTERM.
async fn interrupted() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Without a handler the signal ends the process, and the guardian ends the rest.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}

/// Prints a line. A closed standard output is no reason to stop.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The variables that `cargo run` set for us, and that a cargo below us must not inherit: they
/// name this package.
fn of_our_cargo() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME"
    })
}
