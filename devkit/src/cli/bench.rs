//! `cargo dev bench`.

mod bars;
mod programs;
mod rows;
mod run;
mod table;

use std::path::Path;

use anyhow::{Context, ensure};
use clap::ValueEnum;

use self::programs::Programs;
use self::rows::{Client, ROWS, Row};
use self::run::Broker;
use self::table::Table;
use crate::RabbitMq;
use crate::cli::{say, workspace};

/// What `cargo dev bench` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What to measure
    #[arg(value_enum)]
    subject: Subject,
    /// One round of fewer events: a look, not a measurement
    #[arg(long)]
    quick: bool,
    /// How often each client has its turn
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: Option<u32>,
    /// Only these rows, by the beginning of their names
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    rows: Vec<String>,
    /// Only these clients, by the beginning of their names
    #[arg(long, value_delimiter = ',', value_name = "CLIENT")]
    clients: Vec<String>,
    /// Passed on to our own load program, as `--telemetry=off`
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    ours: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Subject {
    /// The event hub, beside lapin, amqprs, amqplib, pika and a bare socket
    EventHub,
}

/// Rounds of a measurement.
const ROUNDS: u32 = 5;

pub(super) async fn run(options: &Options) -> super::Outcome {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| chosen(&options.rows, row.name)).collect();
    ensure!(!rows.is_empty(), "no such row; there are: {}", names(ROWS.iter().map(|row| row.name)));
    let wanted = |client: &Client| chosen(&options.clients, client.name());
    super::install::broker().await?;
    let clients = rows.iter().flat_map(|row| row.clients.iter().copied()).filter(wanted);
    let programs = Programs::build(&clients.collect::<Vec<_>>()).await?;

    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { ROUNDS });
    let mut table = Table::new(options.quick, rounds);
    say("── starting RabbitMQ");
    let rabbitmq = RabbitMq::start().await?;
    let broker = Broker::new(&rabbitmq, &programs, &options.ours)?;
    let mut failures = Vec::new();
    for round in 1..=rounds {
        for row in &rows {
            for turn in row.turns(options.quick) {
                for client in row.clients.iter().copied().filter(wanted) {
                    let line = format!("{round}/{rounds}  {:<16} {:<14}", row.name, client.name());
                    match broker.run(row, client, options.quick).await {
                        Ok(report) => {
                            say(&format!("{line} {}", table::one(row, &report)));
                            table.add(row, client, (round, turn), report);
                        }
                        Err(error) => {
                            say(&format!("{line} FAILED: {error:#}"));
                            failures.push(format!("{} by {}: {error:#}", row.name, client.name()));
                        }
                    }
                }
            }
        }
    }
    rabbitmq.stop().await;

    let text = table.markdown(&rows);
    say(&format!("\n{text}"));
    let folder = workspace::target_dir().await?.join("bench");
    say(&format!("written: {}", write(&folder, &table, &text)?));
    for failure in &failures {
        say(&format!("FAILED  {failure}"));
    }
    Ok(failures.is_empty())
}

fn write(folder: &Path, table: &Table, text: &str) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("event-hub");
    let [json, markdown] = ["json", "md"].map(|ending| path.with_extension(ending));
    std::fs::write(&json, serde_json::to_string_pretty(&table.json())?).context("cannot write the result")?;
    std::fs::write(&markdown, text).context("cannot write the result")?;
    Ok(format!("{} and {}", json.display(), markdown.display()))
}

fn chosen(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| name.starts_with(wanted.as_str()))
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
