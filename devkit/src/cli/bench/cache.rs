//! `cargo dev bench cache`.

mod programs;
mod rows;
mod run;
mod table;

use anyhow::ensure;

use self::programs::Programs;
use self::rows::{Client, ROWS, Row};
use self::table::Table;
use super::{Options, chosen, names};
use crate::cli::{Outcome, install, say};

pub(super) async fn run(options: &Options) -> Outcome {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| chosen(&options.rows, row.name)).collect();
    ensure!(!rows.is_empty(), "no such row; there are: {}", names(ROWS.iter().map(|row| row.name)));
    let wanted = |client: &Client| chosen(&options.clients, client.name());
    install::redis().await?;
    let clients = rows.iter().flat_map(|row| row.clients.iter().copied()).filter(wanted);
    let programs = Programs::build(&clients.collect::<Vec<_>>()).await?;

    let rounds = options.rounds();
    let mut table = Table::new(options.quick, rounds);
    let mut failures = Vec::new();
    for round in 1..=rounds {
        for row in &rows {
            let mut turns: Vec<Client> = row.clients.iter().copied().filter(wanted).collect();
            // Who stands first finds another machine than who stands last.
            if round % 2 == 0 {
                turns.reverse();
            }
            for client in turns {
                let line = format!("{round}/{rounds}  {:<12} {:<12}", row.name, client.name());
                match run::run(&programs, row, client, options).await {
                    Ok(report) => {
                        say(&format!("{line} {}", table::one(row, &report)));
                        table.add(row, client, round, report);
                    }
                    Err(error) => {
                        say(&format!("{line} FAILED: {error:#}"));
                        failures.push(format!("{} by {}: {error:#}", row.name, client.name()));
                    }
                }
            }
        }
    }
    super::conclude("cache", &table.markdown(&rows), &table.json(), &failures).await
}
