//! `cargo dev bench ws-rooms`.

mod bars;
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
    let wanted = |target: &Target| super::chosen(&options.clients, target.name());
    let mut targets: Vec<Target> =
        rows.iter().flat_map(|row| row.targets.iter().copied()).filter(wanted).collect();
    targets.sort_unstable();
    targets.dedup();
    ensure!(
        !targets.is_empty(),
        "no such server; there are: {}",
        names(Target::ALL.iter().map(|one| one.name()))
    );
    let programs = Programs::build(&targets).await?;
    Cpus::warn();

    let rounds = options.rounds();
    let mut table = Table::new(options.quick, rounds);
    let bed = Bed::new(&programs, &options.ours);
    if !bed.counts() {
        say("neither perf nor strace is there, or may count: no system calls in the table");
    }
    let mut failures = Vec::new();
    for round in 1..=rounds {
        for row in rows.iter().filter(|row| round == 1 || !row.once) {
            let mut turns: Vec<Target> = row.targets.iter().copied().filter(wanted).collect();
            // Who stands first finds another machine than who stands last.
            if round % 2 == 0 {
                turns.reverse();
            }
            for target in turns {
                let line = format!("{round}/{rounds}  {:<10} {:<14}", row.name, target.name());
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
    super::conclude("ws-rooms", &table.markdown(&rows), &table.json(), &failures).await
}
