//! `cargo dev bench streaming-proxy`.

mod bars;
mod config;
mod programs;
mod rows;
mod run;
mod table;

use anyhow::ensure;

use self::programs::Programs;
use self::rows::{ROWS, Row, Target};
use self::run::Bed;
use self::table::Table;
use super::cpus::Cpus;
use super::{Options, names};
use crate::cli::{Outcome, say};

pub(super) async fn run(options: &Options) -> Outcome {
    ensure!(cfg!(target_os = "linux"), "this measurement reads Linux's /proc");
    let asked = |row: &&Row| options.rows.is_empty() || options.rows.iter().any(|name| row.is_called(name));
    let rows: Vec<&Row> = ROWS.iter().filter(asked).collect();
    ensure!(!rows.is_empty(), "no such row; there are: {}", names(ROWS.iter().map(|row| row.name)));
    // A look does without what takes minutes to build, unless it was asked for.
    let wanted = |target: &Target| {
        let light = !options.quick || !options.clients.is_empty() || !target.is_heavy();
        let chosen = options.clients.iter().any(|name| target.is_called(name));
        light && (options.clients.is_empty() || chosen)
    };
    let mut targets: Vec<Target> = rows.iter().flat_map(|row| row.targets.iter().copied()).collect();
    targets.sort_unstable();
    targets.dedup();
    ensure!(
        targets.iter().any(wanted),
        "no such proxy; there are: {}",
        names(targets.iter().map(|one| one.name()))
    );
    if options.quick && options.clients.is_empty() && targets.iter().any(|target| target.is_heavy()) {
        say("a look: without pingora, which takes minutes to build; --clients asks for it");
    }
    targets.retain(wanted);
    let programs = Programs::build(&targets).await?;
    Cpus::warn();

    let rounds = options.rounds();
    let mut table = Table::new(options.quick, rounds);
    let bed = Bed::start(&programs, &options.ours).await?;
    if !bed.counts() {
        say("neither perf nor strace is there, or may count: no system calls in the table");
    }
    let mut failures = Vec::new();
    for round in 1..=rounds {
        for row in &rows {
            let mut turns: Vec<Target> = row.targets.iter().copied().filter(wanted).collect();
            // Who stands first finds another machine than who stands last.
            if round % 2 == 0 {
                turns.reverse();
            }
            for target in turns {
                let line = format!("{round}/{rounds}  {:<10} {:<20}", row.name, target.name());
                match bed.run(row, target, options.quick).await {
                    Ok(report) => {
                        say(&format!("{line} {}", table::one(row, &report)));
                        table.add(row, target, round, report);
                    }
                    Err(error) => {
                        say(&format!("{line} FAILED: {error:#}"));
                        failures.push(format!("{} by {}: {error:#}", row.name, target.name()));
                    }
                }
            }
        }
    }
    drop(bed);
    super::conclude("streaming-proxy", &table.markdown(&rows), &table.json(), &failures).await
}
