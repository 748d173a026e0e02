//! `cargo dev bench`.

mod bed;
mod cache;
mod cpus;
mod event_hub;
mod peers;
mod proxy;
mod reports;
mod rooms;
mod syscalls;

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::Value;

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
    /// Passed on to our own program, as `--telemetry=off`
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    ours: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Subject {
    /// The event hub, beside lapin, amqprs, amqplib, pika and a bare socket
    EventHub,
    /// The proxy, beside nginx, HAProxy, bare hyper, axum-reverse-proxy, Pingora and Node's http-proxy
    StreamingProxy,
    /// The rooms, beside uWebSockets in Bun, socketioxide, tungstenite and Node's ws
    WsRooms,
    /// The cache, beside quick_cache, moka, cached, amalgam, BentoCache and bare clients of Redis
    Cache,
}

/// Rounds of a measurement.
const ROUNDS: u32 = 5;

pub(super) async fn run(options: &Options) -> super::Outcome {
    match options.subject {
        Subject::EventHub => event_hub::run(options).await,
        Subject::StreamingProxy => proxy::run(options).await,
        Subject::WsRooms => rooms::run(options).await,
        Subject::Cache => cache::run(options).await,
    }
}

// === impl Options ===

impl Options {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { ROUNDS })
    }
}

/// Prints the result and what failed, and keeps the result; whether nothing failed.
async fn conclude(name: &str, text: &str, json: &Value, failures: &[String]) -> super::Outcome {
    say(&format!("\n{text}"));
    let folder = workspace::target_dir().await?.join("bench");
    say(&format!("written: {}", write(&folder, name, text, json)?));
    for failure in failures {
        say(&format!("FAILED  {failure}"));
    }
    Ok(failures.is_empty())
}

fn write(folder: &Path, name: &str, text: &str, value: &Value) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name);
    let [json, markdown] = ["json", "md"].map(|ending| path.with_extension(ending));
    std::fs::write(&json, serde_json::to_string_pretty(value)?).context("cannot write the result")?;
    std::fs::write(&markdown, text).context("cannot write the result")?;
    Ok(format!("{} and {}", json.display(), markdown.display()))
}

fn chosen(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| name.starts_with(wanted.as_str()))
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
