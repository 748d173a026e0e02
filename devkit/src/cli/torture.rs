//! `cargo dev torture`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::{interrupted, say, workspace};

/// What `cargo dev torture` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What to torture
    #[arg(value_enum)]
    subject: Subject,
    /// For how long there is traffic and trouble [default: 60]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Chooses the faults and their times; drawn and printed without it
    #[arg(long)]
    seed: Option<u64>,
    /// Builds and runs release programs
    #[arg(long)]
    release: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Subject {
    /// The event hub: publishers, outboxes, consumers, on servers that come and go
    EventHub,
}

const PROGRAM: &str = "event-hub-torture";

/// It kills what it started, and waits for none of it.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Builds and runs the program. At Ctrl-C it is the program that ends in good order.
pub(super) async fn run(options: &Options) -> super::Outcome {
    let Subject::EventHub = options.subject;
    tokio::select! {
        ready = prepare(options) => ready?,
        () = interrupted() => anyhow::bail!("interrupted"),
    }
    let profile = if options.release { "release" } else { "debug" };
    let program = workspace::target_dir().await?.join(profile).join(PROGRAM);
    let mut command = Command::new(&program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    if let Some(seconds) = options.seconds {
        command.arg("--seconds").arg(seconds.to_string());
    }
    if let Some(seed) = options.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    tokio::select! {
        status = child.wait() => Ok(status?.success()),
        () = interrupted() => {
            say("ending");
            // Ctrl-C has reached it too, a signal to us alone has not.
            if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
                let _ = signal::kill(Pid::from_raw(id), Signal::SIGTERM);
            }
            ensure!(timeout(END_LIMIT, child.wait()).await.is_ok(), "it did not end");
            anyhow::bail!("interrupted")
        }
    }
}

async fn prepare(options: &Options) -> anyhow::Result<()> {
    super::install::torture().await?;
    say("── building the program");
    let mut build = workspace::cargo(["build", "--quiet", "-p", "torture"]);
    if options.release {
        build.arg("--release");
    }
    ensure!(workspace::succeeds(&mut build).await?, "it does not build");
    Ok(())
}
