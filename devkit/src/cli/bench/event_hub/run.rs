//! One run of one program.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::RabbitMq;
use crate::cli::bench::event_hub::programs::Programs;
use crate::cli::bench::event_hub::rows::{Client, Figure, Row};

/// What a load program tells; see the package `measure`.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) events: u64,
    pub(super) seconds: f64,
    pub(super) client_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broker_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Percentiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allocations: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wrong: Option<Wrong>,
    /// Rounds in which «all are confirmed» was said too early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) early: Option<u64>,
}

/// Answers that were not true.
#[derive(Clone, Copy, Debug, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wrong {
    pub(super) falsely_accepted: u64,
    pub(super) falsely_refused: u64,
    pub(super) misnamed: u64,
    pub(super) unanswered: u64,
}

/// In µs.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// The broker that all rows run on.
pub(super) struct Broker<'a> {
    url: String,
    process: u32,
    programs: &'a Programs,
    /// For our own program alone.
    ours: &'a [String],
}

const QUEUE: &str = "bench.work";

/// The queues of the rows about truth; the package `measure` has their names too.
const TRUTH_QUEUES: [&str; 2] = ["bench.work.bench.accepted", "bench.work.bench.refused"];

/// The slowest run takes some ten seconds; one that takes longer than this hangs.
const LIMIT: Duration = Duration::from_mins(2);

// === impl Broker ===

impl<'a> Broker<'a> {
    pub(super) fn new(
        rabbitmq: &RabbitMq,
        programs: &'a Programs,
        ours: &'a [String],
    ) -> anyhow::Result<Self> {
        let process = rabbitmq.process_group().context("the broker has ended")?;
        Ok(Self { url: rabbitmq.url(), process, programs, ours })
    }

    /// Runs a row for a client on a queue of its own.
    pub(super) async fn run(&self, row: &Row, client: Client, quick: bool) -> anyhow::Result<Report> {
        let events = row.events(quick);
        let Some(kind) = row.queue else { return self.measured(row, client, events, None).await };
        let (prepare, queues): (_, &[&str]) = match row.figure {
            Figure::Truth => ("prepare-truth", &TRUTH_QUEUES),
            _ => ("prepare", &[QUEUE]),
        };
        let mut own = self.programs.own();
        self.helper(own.args([prepare, "--kind", kind]), QUEUE).await.context("prepare")?;
        let report = self.prepared(row, client, events, kind).await;
        for queue in queues {
            self.helper(self.programs.raw().arg("remove"), queue).await.context("remove")?;
        }
        report
    }

    async fn prepared(&self, row: &Row, client: Client, events: u32, kind: &str) -> anyhow::Result<Report> {
        if row.filled {
            let mut fill = if client.is_ours() { self.programs.own() } else { self.programs.raw() };
            // What our hub consumes is what it published; the others take what the bare socket made.
            fill.args(["fill", "--style", if client.is_ours() { "batched" } else { client.fill_style() }]);
            if client.is_ours() {
                fill.args(["--kind", kind]);
            }
            self.helper(fill.arg("--events").arg(events.to_string()), QUEUE).await.context("fill")?;
        }
        self.measured(row, client, events, Some(kind)).await
    }

    async fn measured(
        &self,
        row: &Row,
        client: Client,
        events: u32,
        kind: Option<&str>,
    ) -> anyhow::Result<Report> {
        let mut command = self.programs.command(row, client);
        command.arg(row.command).args(["--style", client.style()]);
        command.arg("--events").arg(events.to_string());
        command.arg("--broker").arg(self.process.to_string());
        if client.is_ours() {
            command.args(self.ours);
            if let Some(kind) = kind {
                command.args(["--kind", kind]);
            }
        }
        let output = self.output(&mut command, QUEUE).await?;
        let last = output.lines().last().context("it told nothing")?;
        let report: Report = serde_json::from_str(last).with_context(|| format!("no report: {last}"))?;
        ensure!(report.events > 0 && report.seconds > 0.0, "an empty report");
        Ok(report)
    }

    async fn helper(&self, command: &mut Command, queue: &str) -> anyhow::Result<()> {
        command.stdin(Stdio::null()).kill_on_drop(true);
        self.output(command, queue).await.map(drop)
    }

    async fn output(&self, command: &mut Command, queue: &str) -> anyhow::Result<String> {
        command.args(["--url", &self.url, "--queue", queue]);
        let output = timeout(LIMIT, command.output()).await.context("it hangs")?.context("cannot run it")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}", output.status, words.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
