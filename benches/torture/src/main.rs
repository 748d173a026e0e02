//! The event hub under torture: publishers, outboxes and consumers at work, while everything below them is killed,
//! stopped, cut off and frozen, at random and by a seed. At the end a ledger tells what became of each event.
//!
//! `cargo dev torture event-hub` builds and runs it. Publishers, consumers, outboxes and the keeper of the dead letters
//! are processes of this same program, so that they can be killed as a machine kills them.

mod args;
mod bed;
mod chaos;
mod ledger;
mod lines;
mod log;
mod plan;
mod report;
mod run;
mod tally;
mod task;
mod worker;
mod workers;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let worked = match cli.command {
        Some(Command::Worker(args)) => block_on(worker::run(args)).map(|()| true),
        None => block_on(run::run(&cli.options)),
    };
    match worked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Of a worker too: its parent shows what is no figures.
            report::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}
