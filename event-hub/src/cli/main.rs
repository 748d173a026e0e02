//! `tramline-events`: events, queues and dead letters from a shell.
//!
//! Exit codes: 0 when everything was done; 1 when something was not, as each line said; 2 when the broker or the
//! database failed; 64 when the call was wrong.

mod args;
mod connect;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod dead_letters;
mod publish;
mod say;
mod tail;
mod topology;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Args, Command, Common};
use crate::connect::WrongCall;
use crate::say::is_broken_pipe;

/// Everything was done, or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Done {
    All,
    NotAll,
}

/// `EX_USAGE` of sysexits.
const WRONG_CALL: u8 = 64;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(WRONG_CALL) } else { ExitCode::SUCCESS };
        }
    };
    let level = if args.common.verbose { LevelFilter::DEBUG } else { LevelFilter::WARN };
    // The driver repeats what we say ourselves, and prints whole messages with it.
    let driver = if args.common.verbose { level } else { LevelFilter::OFF };
    let levels = Targets::new().with_default(level).with_target("lapin", driver);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(levels).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let done = runtime.block_on(run(args));
    // A read of standard input cannot be cut short; nobody waits for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match done {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::NotAll) => ExitCode::from(1),
        // Whoever reads has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(args: Args) -> anyhow::Result<Done> {
    let common = args.common.or_environment();
    match args.command {
        Command::Topology(command) => topology::run(&common, command).await,
        Command::Tail(options) => tail::run(&common, options, interrupted()).await,
        Command::Publish(options) => publish::run(&common, options, interrupted()).await,
        #[cfg(any(feature = "postgres", feature = "sqlite"))]
        Command::DeadLetters(command) => dead_letters::run(&common, command, interrupted()).await,
    }
}

impl Common {
    /// What no option gave: a program may look, a library may not.
    fn or_environment(mut self) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.broker = self.broker.or_else(|| variable("RABBITMQ_URL"));
        self.database = self.database.or_else(|| variable("DATABASE_URL"));
        #[cfg(feature = "management")]
        {
            self.management = self.management.or_else(|| variable("RABBITMQ_MANAGEMENT_URL"));
        }
        self
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    say::tell(&format!("tramline-events: {error:#}"));
    if error.is::<WrongCall>() { ExitCode::from(WRONG_CALL) } else { ExitCode::from(2) }
}

/// Completes at Ctrl-C or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let wait = |kind| async move {
            match signal(kind) {
                Ok(mut signal) => drop(signal.recv().await),
                // Without a handler the signal ends the process.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait(SignalKind::interrupt()) => {}
            () = wait(SignalKind::terminate()) => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
