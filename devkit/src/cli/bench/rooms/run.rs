//! One run of one target.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::cli::bench::bed::{Percentiles, allow_files, output, start};
use crate::cli::bench::cpus::Cpus;
use crate::cli::bench::rooms::programs::Programs;
use crate::cli::bench::rooms::rows::{Kind, Row, Target};
use crate::cli::bench::syscalls::Counter;
use crate::ports::Port;
use crate::scratch::Scratch;

/// What the load program tells; see the package `benches`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Deliveries, or connections.
    pub(super) count: u64,
    pub(super) seconds: f64,
    pub(super) cpu_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_share: Option<f64>,
    pub(super) switches: u64,
    pub(super) own_cpu_ns: u64,
    pub(super) peak_kib: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resident_kib: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Percentiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) without_stuck: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stuck_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) most: Option<String>,
    /// Of the passes that count them, a delivery; not of the load program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) syscalls: Option<f64>,
}

/// What is needed to put a target under load.
#[derive(Debug)]
pub(super) struct Bed<'a> {
    programs: &'a Programs,
    /// What our server takes besides.
    ours: &'a [String],
    counter: Option<Counter>,
}

/// The longest row takes five minutes, and what surrounds it.
const LIMIT: Duration = Duration::from_secs(420);

/// Long enough for some ten thousand deliveries.
const COUNTED: &str = "0.5";

// === impl Bed ===

impl<'a> Bed<'a> {
    pub(super) fn new(programs: &'a Programs, ours: &'a [String]) -> Self {
        allow_files();
        Self { programs, ours, counter: Counter::find() }
    }

    /// Whether system calls are counted.
    pub(super) fn counts(&self) -> bool {
        self.counter.is_some()
    }

    /// Starts the target, runs the row's load, counts system calls, and ends it.
    pub(super) async fn run(&self, row: &Row, target: Target, quick: bool) -> anyhow::Result<Report> {
        let cpus = Cpus::choose(1);
        let (members, control) = (Port::reserve()?, Port::reserve()?);
        let (path, first) = self.programs.target(target)?;
        let mut arguments: Vec<String> = first.iter().map(|one| one.to_string_lossy().into_owned()).collect();
        arguments.extend([members.addr().to_string(), control.addr().to_string()]);
        if target == Target::Ours {
            arguments.extend(self.ours.iter().cloned());
        }
        let control_addr = control.addr().to_string();
        // The first port is the one that is asked whether the server is there.
        let ports = vec![control, members];
        let members = ports[1].addr().to_string();
        let scratch = Scratch::new("rooms", None)?;
        let server = start(target.name(), path, arguments, cpus.server(), ports, scratch).await?;
        let process = server.group().context("it has ended")?;
        let load = |arguments: &mut dyn Iterator<Item = &str>| {
            let mut command = self.programs.load(cpus.load());
            command.args(arguments).args(["--addr", &members, "--control", &control_addr]);
            command.args(["--process", &process.to_string(), "--dialect", target.dialect()]);
            command
        };
        let mut report = measured(&mut load(&mut row.arguments(quick))).await?;
        if let Some(counter) = self.counter.as_ref().filter(|_| matches!(row.kind, Kind::Fanout { .. })) {
            // What comes before the first delivery is the same in both passes.
            let mut counts = Vec::new();
            for seconds in ["0", COUNTED] {
                let times = ["--warmup", "0", "--seconds", seconds];
                let pass = load(&mut row.load.iter().copied().chain(times));
                let (count, told) = counter.count(process, pass, LIMIT).await.context("system calls")?;
                counts.push((count, parsed(&told)?.count));
            }
            let [(before, _), (all, deliveries)] = counts[..] else { unreachable!("two passes") };
            report.syscalls = Some(each(all.saturating_sub(before), deliveries));
        }
        // Nothing is under way, and some take long to end in good order.
        server.kill();
        Ok(report)
    }
}

async fn measured(command: &mut Command) -> anyhow::Result<Report> {
    let report = parsed(&output(command, LIMIT).await?)?;
    ensure!(report.count > 0 && report.seconds > 0.0, "an empty report");
    // Where it only lies there, its memory is what tells.
    let seen = report.cpu_ns > 0 || report.resident_kib.is_some_and(|(before, after)| after > before);
    ensure!(seen, "the server used no time: another process than it");
    Ok(report)
}

fn parsed(output: &str) -> anyhow::Result<Report> {
    let last = output.lines().last().context("it told nothing")?;
    serde_json::from_str(last).with_context(|| format!("no report: {last}"))
}

#[expect(clippy::cast_precision_loss, reason = "some million")]
fn each(sum: u64, deliveries: u64) -> f64 {
    sum as f64 / deliveries as f64
}
