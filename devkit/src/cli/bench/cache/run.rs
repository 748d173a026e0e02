//! One run of one program.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;

use crate::cli::bench::Options;
use crate::cli::bench::bed;
use crate::cli::bench::cache::programs::Programs;
use crate::cli::bench::cache::rows::{Client, Row, Way};
use crate::{Fault, Redis};

/// Figures by name; see the package `measure`.
pub(super) type Report = BTreeMap<String, f64>;

/// The slowest run takes some ten seconds; one that takes longer than this hangs.
const LIMIT: Duration = Duration::from_mins(2);

/// How long the slow way takes in each direction.
const DELAY: Duration = Duration::from_millis(5);

/// Runs a row for a client, on a Redis of its own where it needs one.
pub(super) async fn run(
    programs: &Programs,
    row: &Row,
    client: Client,
    options: &Options,
) -> anyhow::Result<Report> {
    let mut command = programs.command(row, client)?;
    command.arg(row.command).stdin(Stdio::null()).kill_on_drop(true);
    if options.quick {
        command.arg("--quick");
    }
    if client == Client::Ours {
        command.args(&options.ours);
    }
    let report = match row.way {
        Way::None => bed::output(&mut command, LIMIT).await?,
        Way::Redis => {
            let redis = Redis::start().await?;
            command.args(["--url", &redis.url()]);
            let process = redis.process_group().context("Redis has ended")?;
            command.args(["--redis", &process.to_string()]);
            let output = bed::output(&mut command, LIMIT).await?;
            // One row has killed it.
            redis.kill().await;
            output
        }
        Way::Slow => {
            let redis = Redis::start().await?;
            let (way, url) = Fault::in_front_of(&redis.url()).await?;
            way.delay(DELAY);
            command.args(["--url", &url]);
            let output = bed::output(&mut command, LIMIT).await?;
            redis.stop().await;
            output
        }
    };
    let last = report.lines().last().context("it told nothing")?;
    let mut report: Report = serde_json::from_str(last).with_context(|| format!("no report: {last}"))?;
    if let (Way::Slow, Some(p50)) = (row.way, report.get("p50")) {
        report.insert("trips".to_owned(), p50 / (2.0 * DELAY.as_secs_f64() * 1e6));
    }
    Ok(report)
}
