//! `cargo dev fuzz`, and the moment of it in `cargo dev test`.

mod programs;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use clap::ValueEnum;

use self::programs::Programs;
use crate::cli::say;

/// What `cargo dev fuzz` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What to fuzz
    #[arg(value_enum)]
    subject: Subject,
    /// Only these targets, by the beginning of their names
    targets: Vec<String>,
    /// For how long each
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

/// What has targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Subject {
    /// Requests, answers, forwarding headers, routes, PROXY headers and tables
    StreamingProxy,
    /// Frames
    WsRooms,
}

/// What came of one target.
#[derive(Debug)]
pub(super) struct Fuzzed {
    /// `fuzz::requests`.
    pub(super) name: String,
    /// Why it failed, if it did.
    pub(super) failure: Option<String>,
}

/// How long each target runs among the tests: enough to see that it runs, and to find what anybody would.
const SMOKE: Duration = Duration::from_secs(10);

/// How many run at once.
const LANES: usize = 2;

// === impl Subject ===

impl Subject {
    /// The package that is fuzzed.
    pub(super) fn package(self) -> &'static str {
        match self {
            Self::StreamingProxy => "tramline-streaming-proxy",
            Self::WsRooms => "tramline-ws-rooms",
        }
    }

    /// Where its targets are: a workspace of its own.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::StreamingProxy => "streaming-proxy/fuzz",
            Self::WsRooms => "ws-rooms/fuzz",
        }
    }
}

/// Runs the targets, and keeps what they find for the next time.
pub(super) async fn run(options: &Options) -> super::Outcome {
    let wanted = |name: &str| {
        options.targets.is_empty() || options.targets.iter().any(|target| name.starts_with(target.as_str()))
    };
    let fuzzed = fuzz(options.subject, wanted, Duration::from_secs(options.seconds), true).await?;
    ensure!(
        !fuzzed.is_empty(),
        "no such target; there are: {}",
        programs::names(options.subject)?.join(", ")
    );
    Ok(fuzzed.iter().all(|fuzzed| fuzzed.failure.is_none()))
}

/// Runs each target of a subject whose name contains `filter` for a moment, from its seeds alone.
pub(super) async fn smoke(subject: Subject, filter: Option<&str>) -> anyhow::Result<Vec<Fuzzed>> {
    let wanted = |name: &str| filter.is_none_or(|filter| full_name(name).contains(filter));
    fuzz(subject, wanted, SMOKE, false).await
}

async fn fuzz(
    subject: Subject,
    wanted: impl Fn(&str) -> bool,
    time: Duration,
    keep: bool,
) -> anyhow::Result<Vec<Fuzzed>> {
    let mut names = programs::names(subject)?;
    names.retain(|name| wanted(name));
    if names.is_empty() {
        return Ok(Vec::new());
    }
    super::install::fuzzing().await?;
    say(&format!("── building the fuzz targets of {}", subject.package()));
    let programs = Programs::build(subject).await?;
    say(&format!("── fuzzing {} for {time:?} each", names.join(", ")));
    let left = Mutex::new(names.into_iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = async || {
        let mut fuzzed = Vec::new();
        while let Some(name) = next() {
            fuzzed.push(one(&programs, &name, time, keep).await?);
        }
        anyhow::Ok(fuzzed)
    };
    // INVARIANT: as many as `LANES` says.
    let lanes: [Vec<Fuzzed>; LANES] = tokio::try_join!(lane(), lane())?.into();
    Ok(lanes.into_iter().flatten().collect())
}

async fn one(programs: &Programs, target: &str, time: Duration, keep: bool) -> anyhow::Result<Fuzzed> {
    let name = full_name(target);
    Ok(match programs.run(target, time, keep).await? {
        Ok(told) => {
            say(&format!("{name} ... ok, {told}"));
            Fuzzed { name, failure: None }
        }
        Err(why) => {
            say(&format!("{name} ... FAILED\n{why}"));
            Fuzzed { name, failure: Some(why) }
        }
    })
}

/// As a test is called.
fn full_name(target: &str) -> String {
    format!("fuzz::{target}")
}
