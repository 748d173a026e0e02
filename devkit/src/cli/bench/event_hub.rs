//! `cargo dev bench event-hub`.

mod bars;
mod programs;
mod rows;
mod run;
mod table;

use anyhow::ensure;

use self::programs::Programs;
use self::rows::{Client, ROWS, Row};
use self::run::Broker;
use self::table::Table;
use super::{Options, chosen, names};
use crate::cli::{Outcome, install, say};
use crate::{RabbitMq, RabbitMqConfig};

/// Quorum queues hold what they were given until the next segment: a broker as small as those of the tests blocks its
/// publishers after some rounds, and what is measured then is its memory alarm.
const MEMORY: &str = "vm_memory_high_watermark.absolute = 4GiB";

pub(super) async fn run(options: &Options) -> Outcome {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| chosen(&options.rows, row.name)).collect();
    ensure!(!rows.is_empty(), "no such row; there are: {}", names(ROWS.iter().map(|row| row.name)));
    let wanted = |client: &Client| chosen(&options.clients, client.name());
    install::broker().await?;
    let clients = rows.iter().flat_map(|row| row.clients.iter().copied()).filter(wanted);
    let programs = Programs::build(&clients.collect::<Vec<_>>()).await?;

    let rounds = options.rounds();
    let mut table = Table::new(options.quick, rounds);
    say("── starting RabbitMQ");
    let config = RabbitMqConfig { settings: vec![MEMORY.to_owned()], ..RabbitMqConfig::default() };
    let rabbitmq = RabbitMq::start_with(&config).await?;
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
    super::conclude("event-hub", &table.markdown(&rows), &table.json(), &failures).await
}
